//! Cargo's target folder, in which the programs are and results are written.

use std::env;
use std::path::PathBuf;

/// Of everything that this program writes.
pub(crate) const FOLDER: &str = "compare";
/// This project's programs.
pub(crate) const SERVER: &str = "release/server";
pub(crate) const CLIENT: &str = "release/client";

/// A path in the target folder, which is relative to the top of the repository by default.
pub(crate) fn path(name: &str) -> PathBuf {
    let folder = env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty());
    PathBuf::from(folder.unwrap_or_else(|| "target".into())).join(name)
}

/// A path in the folder of results, as a word of a command line.
pub(crate) fn output(name: &str) -> String {
    path(FOLDER).join(name).to_string_lossy().into_owned()
}
