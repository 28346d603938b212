//! What processes have used of the processors.

use std::io;
use std::time::Duration;

use crate::net::sys;

/// The processor time that a process of this machine has used, in user and system mode
/// together, of all its threads, also those that have ended.
///
/// # Errors
/// There is no such process.
pub fn time_of_process(pid: i32) -> io::Result<Duration> {
    sys::processor_time(pid)
}
