//! What both programs share, for use in other programs too: a log that never blocks,
//! streams that are written whole, files known by their numbers, signals as values, units, targets
//! and variables of the command line, completions and manual pages, text of others made printable,
//! limits, needs, control groups, memory and CPU time of a process, numbers of `/proc`, threads by
//! name.

pub mod cause;
pub mod cgroup;
#[cfg(feature = "program")]
pub mod command_line;
pub mod cpu;
#[cfg(feature = "program")]
pub mod file_id;
#[cfg(feature = "program")]
pub mod framing;
#[cfg(feature = "program")]
pub mod generate;
pub mod limits;
#[cfg(feature = "program")]
mod log_batch;
#[cfg(feature = "program")]
mod log_filter;
#[cfg(feature = "program")]
pub mod logger;
pub mod memory;
pub mod need;
pub mod printable;
pub mod proc_file;
pub mod signals;
#[cfg(feature = "program")]
pub mod stream;
#[cfg(feature = "program")]
pub mod target;
pub mod thread;
#[cfg(feature = "program")]
pub mod units;
#[cfg(feature = "program")]
pub mod variables;
