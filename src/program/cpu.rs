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

/// Divides a CPU time into that of user and of system mode, in seconds. The kernel counts these
/// two in ticks of a hundredth of a second, and only their sum in nanoseconds.
pub fn user_and_system(total: Duration, user_ticks: u64, system_ticks: u64) -> (f64, f64) {
    let (user, system, total) = (user_ticks as f64, system_ticks as f64, total.as_secs_f64());
    let share = if user + system > 0.0 { user / (user + system) } else { 0.0 };
    (total * share, total * (1.0 - share))
}
