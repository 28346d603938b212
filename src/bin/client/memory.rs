//! The memory of the machine. A kernel or a sandbox may not show all of it.

use std::fs;
use std::path::Path;

/// Bytes that may be used: what the machine has left, or the limit of the control group if
/// that is less. `None` if neither can be read.
pub(crate) fn available() -> Option<u64> {
    meminfo("MemAvailable").into_iter().chain(group_limit()).min()
}

/// Bytes of the kernel's objects, sockets among them.
pub(crate) fn of_kernel() -> Option<u64> {
    meminfo("Slab")
}

/// A field of `/proc/meminfo` in bytes.
fn meminfo(field: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kibibytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The lowest limit of this process's control group (version 2) and of those around it.
fn group_limit() -> Option<u64> {
    const ROOT: &str = "/sys/fs/cgroup";
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let folder = Path::new(ROOT).join(own);
    let folders = folder.ancestors().take_while(|folder| folder.starts_with(ROOT));
    // Without a limit it is the word "max".
    let limit =
        |folder: &Path| fs::read_to_string(folder.join("memory.max")).ok()?.trim().parse().ok();
    folders.filter_map(limit).min()
}
