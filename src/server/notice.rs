//! All that the acceptor can be told.

use std::io;

/// All that the acceptor can be told.
#[derive(Debug)]
pub(crate) enum Notice {
    /// Accept no more, and have the reactors answer what arrived.
    Drain,
    /// End now.
    Stop,
    /// A thread ended, as it should or not.
    Ended(io::Result<()>),
}
