//! What both programs share, for use in other programs too: a log that never blocks,
//! signals as values, units and variables of the command line, limits and CPU time of a process.

pub mod cpu;
#[cfg(feature = "program")]
pub mod framing;
#[cfg(feature = "program")]
pub mod help;
pub mod limits;
#[cfg(feature = "program")]
pub mod logger;
pub mod signals;
#[cfg(feature = "program")]
pub mod target;
#[cfg(feature = "program")]
pub mod units;
#[cfg(feature = "program")]
pub mod variables;
