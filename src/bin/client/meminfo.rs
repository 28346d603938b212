//! `/proc/meminfo`, in which a kernel or a sandbox may leave fields out.

use std::fs;

/// A field in bytes, or `None` if it cannot be read.
pub(crate) fn bytes(field: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kibibytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}
