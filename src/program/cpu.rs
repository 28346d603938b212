//! The CPU time of processes.

use std::io;
use std::time::Duration;

use crate::net::sys;

/// Returns the CPU time that a process on this machine has used: user and system time of
/// all its threads, including those that have ended.
///
/// # Errors
/// There is no such process.
pub fn time_of_process(pid: i32) -> io::Result<Duration> {
    sys::processor_time(pid)
}
