//! What a package has beside a program: completions for shells, and manual pages.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::{fs, iter};

use chrono::Utc;
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::program::stream::Stream;

/// Flags that print or write such files instead of doing anything else.
#[derive(Debug, Clone, Args)]
pub struct GenerateArgs {
    /// Print completions for bash, elvish, fish, powershell or zsh
    #[arg(long, value_name = "SHELL", value_enum, hide_possible_values = true)]
    completions: Option<Shell>,
    /// Write the manual pages to this folder
    #[arg(long, value_name = "FOLDER")]
    man_pages: Option<PathBuf>,
}

impl GenerateArgs {
    /// Returns whether they are given.
    pub fn is_asked_for(&self) -> bool {
        self.completions.is_some() || self.man_pages.is_some()
    }

    /// Does what they ask for.
    ///
    /// # Errors
    /// It cannot be written, with a sentence that says what and where.
    pub fn run(&self, command: Command) -> Result<(), String> {
        if let Some(shell) = self.completions {
            print_completions(shell, command.clone())
                .map_err(|error| format!("cannot write to standard output: {error}"))?;
        }
        self.man_pages.iter().try_for_each(|folder| {
            write_man_pages(folder, command.clone())
                .map_err(|error| format!("cannot write to {}: {error}", folder.display()))
        })
    }
}

fn print_completions(shell: Shell, mut command: Command) -> io::Result<()> {
    let (name, mut script) = (command.get_name().to_owned(), Vec::new());
    clap_complete::generate(shell, &mut command, name, &mut script);
    Stream::stdout()?.write_all(&script)
}

/// A page for the program, and one for each of its subcommands.
fn write_man_pages(folder: &Path, mut command: Command) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    command.build();
    let name = command.get_name().to_owned();
    for command in iter::once(&command).chain(command.get_subcommands()) {
        if command.get_name() == "help" {
            continue;
        }
        let page = man_page(command.clone())?;
        let own = command.get_name();
        let name = if own == name { name.clone() } else { format!("{name}-{own}") };
        fs::write(folder.join(format!("{name}.1")), page)?;
    }
    Ok(())
}

fn man_page(command: Command) -> io::Result<String> {
    let title = command.get_display_name().unwrap_or(command.get_name()).to_uppercase();
    let date = Utc::now().format("%Y-%m-%d").to_string();
    let page = Man::new(command.disable_help_subcommand(true)).title(title).date(date);
    let mut bytes = Vec::new();
    page.render(&mut bytes)?;
    Ok(tidy(&String::from_utf8_lossy(&bytes)))
}

/// The longest line of a page. mandoc asks for less than 80 bytes.
const WIDTH: usize = 78;

/// The same page in the style that `mandoc -T lint` asks for: no trailing space, no empty line
/// and no long one. Its examples have a section of that name.
fn tidy(page: &str) -> String {
    let mut tidy = String::new();
    let mut after_space = true;
    for line in page.lines().map(str::trim_end) {
        let is_space = line.is_empty() || [".br", ".sp"].contains(&line);
        match line {
            // One of several that follow each other, or that follow the head of a paragraph.
            _ if is_space && after_space => {}
            _ if is_space => tidy.push_str(".sp\n"),
            // The examples behind the flags, with their title.
            ".SH EXTRA" => tidy.push_str(".SH EXAMPLES\n"),
            "Examples:" => {}
            // An indented line, such as a command, is a line of its own.
            _ if line.starts_with(' ') => tidy.extend([line, "\n"]),
            _ => push_wrapped(&mut tidy, line),
        }
        after_space = is_space || line.starts_with(".SH") || line.starts_with(".PP");
    }
    tidy
}

/// Adds a line, in several if it is text and long. None of them begins like a request.
fn push_wrapped(page: &mut String, line: &str) {
    let mut width = 0;
    for word in line.split(' ') {
        let is_first = width == 0;
        if !is_first && width + 1 + word.len() > WIDTH && !line.starts_with('.') {
            page.push('\n');
            width = 0;
            if word.starts_with(['.', '\'']) {
                page.push_str("\\&");
            }
        } else if !is_first {
            page.push(' ');
        }
        page.push_str(word);
        width += word.len() + usize::from(!is_first);
    }
    page.push('\n');
}
