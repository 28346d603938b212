//! What the two programs share, and a server of one's own may use too: a log
//! that never blocks, signals as values, and numbers as people write them.

pub mod logger;
pub mod signals;
pub mod units;
pub mod wire;
