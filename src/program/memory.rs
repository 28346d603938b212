//! The memory of the machine. A kernel or a sandbox may not show all of it.

use crate::program::cgroup;
use crate::program::proc_file::meminfo;

/// Bytes that may be used: what the machine has left, or what the control group has left if that
/// is less. `None` if neither can be read.
pub fn available() -> Option<u64> {
    meminfo("MemAvailable").into_iter().chain(cgroup::memory_left()).min()
}

/// Bytes of the kernel's objects, sockets among them.
pub fn of_kernel() -> Option<u64> {
    meminfo("Slab")
}
