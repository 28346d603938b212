//! `client log`: what the server's log shows of connections and threads.

mod figures;
mod line;
mod lines;
mod moment;
mod pairing;
mod text;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::cli::LogArgs;
use crate::compressed;
use crate::output::Output;
use crate::readable;
use figures::Figures;
use line::Line;
use lines::Lines;

/// A file, and what was read of it to find its place among the others.
struct File<'a> {
    path: &'a Path,
    lines: Lines,
    /// Lines without a time at its beginning.
    skipped: u64,
    first: Option<Line>,
}

/// Reads the files, and prints their figures.
pub(crate) fn run(args: &LogArgs) -> anyhow::Result<ExitCode> {
    let mut files = Vec::new();
    for path in &args.files {
        files.push(File::open(path)?);
    }
    refuse_twice(&files)?;
    // A shell lists `server.log` before `server.log.1`, which is older. A file without an event
    // adds nothing, wherever it is.
    files.sort_by_key(|file| file.first.map(|first| first.at));
    let mut figures = Figures::new(args.messages);
    for file in files {
        let path = file.path.display().to_string();
        file.add_to(&mut figures).with_context(|| format!("cannot read {path}"))?;
    }
    if figures.is_empty() {
        let lines = readable::counted(figures.lines, "line", "lines");
        bail!("no line is a connect or close line of a server's log ({lines})");
    }
    let mut output = Output::open(args.output.as_deref())?;
    match args.json {
        true => output.write_results(&format!("{:#}\n", figures.json())),
        false => output.write_text(&text::render(&figures)),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Checks that no log is there twice, by another path or as a copy: two logs of one server never
/// begin with the same event.
fn refuse_twice(files: &[File<'_>]) -> anyhow::Result<()> {
    for (number, file) in files.iter().enumerate() {
        let is_same = |other: &&File<'_>| file.first.is_some() && other.first == file.first;
        if let Some(other) = files[..number].iter().find(is_same) {
            let (file, other) = (file.path.display(), other.path.display());
            bail!("{file} and {other} begin with the same event: one log would count twice");
        }
    }
    Ok(())
}

impl<'a> File<'a> {
    /// Opens a file, and reads up to its first event.
    fn open(path: &'a Path) -> anyhow::Result<File<'a>> {
        let cannot_read = || format!("cannot read {}", path.display());
        let mut lines = Lines::open(path).with_context(cannot_read)?;
        compressed::refuse(path, lines.start().with_context(cannot_read)?, "client log -")?;
        let mut file = File { path, lines, skipped: 0, first: None };
        while let Some(line) = file.lines.next().with_context(cannot_read)? {
            if line.is_some() {
                file.first = line;
                break;
            }
            file.skipped += 1;
        }
        Ok(file)
    }

    fn add_to(mut self, figures: &mut Figures) -> io::Result<()> {
        (0..self.skipped).for_each(|_| figures.add(None));
        if self.first.is_some() {
            figures.add(self.first);
        }
        while let Some(line) = self.lines.next()? {
            figures.add(line);
        }
        Ok(())
    }
}
