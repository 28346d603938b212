//! What this process may use: descriptors, and memory that it has freed.

use std::io;

use crate::net::sys;

/// Raises this process's soft limit of descriptors to its hard limit, and says
/// what it is now.
///
/// # Errors
/// When the kernel will not say or set the limit, which a sandbox may cause.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = sys::descriptor_limit()?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        sys::set_descriptor_limit(&limit)?;
    }
    Ok(limit.rlim_cur)
}

/// For the standard streams, a log file before and after it is reopened, and
/// whatever else the program around us has open.
const RESERVE: u64 = 32;

/// How many descriptors so many connections take, beside `others` that are needed
/// for something else.
pub fn descriptors_needed(connections: usize, others: usize) -> u64 {
    RESERVE + (connections + others) as u64
}

/// How many connections there are descriptors for, beside `others` that are
/// needed for something else.
///
/// # Errors
/// When the kernel will not say what the limit is.
pub fn connections_possible(others: usize) -> io::Result<usize> {
    let limit = sys::descriptor_limit()?.rlim_cur;
    let left = limit.saturating_sub(descriptors_needed(0, others));
    Ok(usize::try_from(left).unwrap_or(usize::MAX))
}

/// Has memory that is freed in blocks of 64 KiB or more go back to the kernel at
/// once: what connections hold of large messages. Otherwise a burst of them leaves
/// the process as large as it was at its height. It is for the whole process, and
/// so for programs to call.
pub fn give_memory_back() {
    sys::give_back_blocks_from(64 * 1024);
}
