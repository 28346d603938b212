//! The limits of this process: descriptors, CPUs, and memory that it has freed.

use std::io;

use crate::net::sys;

/// Returns the soft and the hard limit of open descriptors. Where there is none, it is
/// [`u64::MAX`].
///
/// # Errors
/// The kernel refuses to read the limit, as it may in a sandbox.
pub fn descriptor_limits() -> io::Result<(u64, u64)> {
    let limit = sys::descriptor_limit()?;
    Ok((sys::wide(limit.rlim_cur), sys::wide(limit.rlim_max)))
}

/// Raises the soft limit of open descriptors to the hard limit, and returns it.
///
/// # Errors
/// The kernel refuses to read or set the limit, as it may in a sandbox.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = sys::descriptor_limit()?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        sys::set_descriptor_limit(&limit)?;
    }
    Ok(sys::wide(limit.rlim_cur))
}

/// Descriptors for the standard streams, for a log file before and after it is reopened,
/// and for what the rest of the program may have open.
const RESERVE: u64 = 32;

/// Returns how many descriptors a process needs for this many connections and `others`.
pub fn descriptors_needed(connections: usize, others: usize) -> u64 {
    RESERVE.saturating_add(connections as u64).saturating_add(others as u64)
}

/// Returns how many descriptors the event loops of a server have: an epoll and a waker for each I/O
/// thread, for the acceptor, and for the lobby if there is one.
pub fn event_loop_descriptors(io_threads: usize, has_lobby: bool) -> usize {
    io_threads.saturating_add(1 + usize::from(has_lobby)).saturating_mul(2)
}

/// The limit of descriptors where the kernel refuses to read it, as it may in a sandbox: the
/// highest that a system allows unless it is told otherwise (`fs.nr_open`). With fewer, a
/// connect or an accept fails, and open connections go on.
const UNKNOWN: u64 = 1 << 20;

/// Returns how many connections the descriptor limit allows, if the process needs `others`
/// descriptors besides.
pub fn connections_possible(others: usize) -> usize {
    let limit = sys::descriptor_limit().map_or(UNKNOWN, |limit| sys::wide(limit.rlim_cur));
    let left = limit.saturating_sub(descriptors_needed(0, others));
    usize::try_from(left).unwrap_or(usize::MAX)
}

/// Returns freed memory to the kernel at once, in blocks of 64 KiB or more. Otherwise a burst
/// of large messages would leave the process as large as it was at its peak. It changes the
/// allocator of the whole process, so programs call it and the library does not.
pub fn give_memory_back() {
    sys::give_back_blocks_from(64 * 1024);
}

/// How many CPUs this process may run on; 1 if the kernel does not say.
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
