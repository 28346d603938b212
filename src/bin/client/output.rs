//! Where results are written.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use reactor_server::program::command_line::allows_styles;
use reactor_server::program::printable::printable;
use reactor_server::program::stream::Stream;
use serde_json::Value;

use crate::terminal;

/// The output for results: a file, or standard output.
#[derive(Debug)]
pub(crate) struct Output<'a> {
    stream: Stream,
    /// `None` is standard output.
    path: Option<&'a Path>,
}

impl<'a> Output<'a> {
    /// Opens the file of this path, or standard output.
    ///
    /// # Errors
    /// The file cannot be created, or standard output is closed.
    pub(crate) fn open(path: Option<&'a Path>) -> anyhow::Result<Output<'a>> {
        let stream = match path {
            None => Stream::stdout().context("cannot write to standard output")?,
            Some(path) => create(path)?,
        };
        Ok(Output { stream, path })
    }

    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Returns whether a person reads the results as they are written.
    pub(crate) fn is_terminal(&self) -> bool {
        self.stream.is_terminal()
    }

    /// Writes results as text. On a terminal they are wrapped and have a little colour.
    ///
    /// # Errors
    /// They cannot be written where they belong.
    pub(crate) fn write_text(&mut self, text: &str) -> anyhow::Result<()> {
        match self.is_terminal() {
            true => self.write_results(&terminal::dressed(text, allows_styles())),
            false => self.write_results(text),
        }
    }

    /// Writes results. Those that the file does not take go to standard output, so that they
    /// are not lost.
    ///
    /// # Errors
    /// They cannot be written where they belong.
    pub(crate) fn write_results(&mut self, text: &str) -> anyhow::Result<()> {
        let Err(error) = self.stream.write_all(text.as_bytes()) else {
            return Ok(());
        };
        let Some(path) = self.path else {
            return Err(error).context("cannot write the results");
        };
        let rescued = Stream::stdout().and_then(|mut stdout| stdout.write_all(text.as_bytes()));
        let instead = if rescued.is_ok() { "; they are on standard output instead" } else { "" };
        bail!("cannot write the results to {}: {error}{instead}", path.display())
    }
}

/// Creates a file.
///
/// # Errors
/// The file cannot be created.
pub(crate) fn create(path: &Path) -> anyhow::Result<Stream> {
    Stream::create(path).with_context(|| format!("cannot write to {}", path.display()))
}

/// JSON of which every line can be shown on a terminal.
pub(crate) fn json_text(json: &Value) -> String {
    format!("{json:#}").lines().map(|line| printable(line) + "\n").collect()
}
