//! The files that a command reads.

use std::path::{Path, PathBuf};

use clap::error::{Error, ErrorKind};
use clap::{ArgMatches, Command};
use reactor_server::program::file_id::FileId;
use reactor_server::program::stream::Dash;
use reactor_server::program::variables;

/// The flags that name an output, in all commands.
const OUTPUTS: [&str; 5] = ["output", "csv", "csv_timeline", "hgrm", "html"];

/// Checks that no output is a file that the command reads, by whatever path. Nothing is opened.
///
/// # Errors
/// A usage error that names both.
pub(super) fn refuse_overwriting<'a>(
    inputs: impl IntoIterator<Item = &'a PathBuf>,
    command: &mut Command,
    matches: &ArgMatches,
) -> Result<(), Error> {
    let outputs: Vec<_> = OUTPUTS.into_iter().filter_map(|flag| output(flag, matches)).collect();
    for input in inputs {
        let Some(id) = FileId::of(input, Dash::Input) else { continue };
        if let Some((name, _)) = outputs.iter().find(|(_, output)| *output == id) {
            let input = match input.to_str() {
                Some("-") => "standard input".to_owned(),
                _ => input.display().to_string(),
            };
            let text = format!("{name} would overwrite {input}, which is read");
            return Err(variables::error(command, matches, ErrorKind::ValueValidation, &text));
        }
    }
    Ok(())
}

/// An output and its file, if it is one that exists. Results without a file go to standard output.
fn output(flag: &str, matches: &ArgMatches) -> Option<(String, FileId)> {
    // Not every command has each flag.
    let path = matches.try_get_one::<PathBuf>(flag).ok().flatten();
    let name = match path {
        None if flag == "output" => "standard output".to_owned(),
        None => return None,
        Some(path) => format!("--{} {}", flag.replace('_', "-"), path.display()),
    };
    let id = FileId::of(path.map_or(Path::new("-"), PathBuf::as_path), Dash::Output)?;
    Some((name, id))
}
