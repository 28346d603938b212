//! Where results and everything else are written.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use reactor_server::program::printable::printable;

/// Opens the output for results: a file, or standard output.
///
/// # Errors
/// The file cannot be created.
pub(crate) fn open(path: Option<&Path>) -> anyhow::Result<Box<dyn Write>> {
    Ok(match path {
        None => Box::new(io::stdout()),
        Some(path) => Box::new(create(path)?),
    })
}

/// Creates a file.
///
/// # Errors
/// The file cannot be created.
pub(crate) fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("cannot write to {}", path.display()))
}

/// Writes results.
///
/// # Errors
/// They cannot be written.
pub(crate) fn write_results(output: &mut dyn Write, text: &str) -> anyhow::Result<()> {
    output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
        .context("cannot write the results")
}

/// Writes a line to standard error. A failure to do so changes nothing.
pub(crate) fn print_error(line: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(line));
}
