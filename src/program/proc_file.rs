//! Numbers and fields in the files of `/proc` and `/sys`, which a sandbox may not have.

use std::fs;
use std::path::Path;

/// Returns the text of a file; it is empty if the file cannot be read.
pub(crate) fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Returns the numbers that a file begins with; none if it cannot be read.
pub fn numbers(path: impl AsRef<Path>) -> Vec<u64> {
    text(path).split_whitespace().map_while(|number| number.parse().ok()).collect()
}

/// Returns the number that a file begins with, if it does.
pub fn number(path: impl AsRef<Path>) -> Option<u64> {
    numbers(path).first().copied()
}

/// Returns the word behind `name`, at the beginning of a line.
pub(crate) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()
}

/// Returns a field of `/proc/meminfo` in bytes, if it is there.
pub fn meminfo(name: &str) -> Option<u64> {
    let kibibytes: u64 = field(&text("/proc/meminfo"), &format!("{name}:"))?.parse().ok()?;
    kibibytes.checked_mul(1024)
}
