//! What the two programs share, and a server of one's own may use too: a log
//! that never blocks, signals as values, numbers as people write them, and what
//! a process has used.

pub mod cpu;
pub mod logger;
pub mod signals;
pub mod units;
pub mod wire;
