//! What the two programs share, and a server of one's own may use too: a log
//! that never blocks, signals as values, numbers as people write them, and what
//! a process has used.

pub mod cpu;
#[cfg(feature = "program")]
pub mod framing;
pub mod limits;
#[cfg(feature = "program")]
pub mod logger;
pub mod signals;
#[cfg(feature = "program")]
pub mod units;
