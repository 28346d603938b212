//! The phases of a connection, and whose turn it is.

use crate::wire::reason::Reason;

/// The phases of a connection, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Both sides may send.
    Open,
    /// The server drains: of what had arrived, `left` bytes must still be read.
    Draining { left: u32 },
    /// Nothing more is read. What was read is answered, then we send our FIN.
    Finishing(Reason),
    /// Everything is answered and our FIN is sent. What the peer still sends is read and
    /// thrown away until its FIN: closing over unread bytes would make the kernel reset the
    /// connection, and throw away replies that are under way.
    Lingering(Reason),
    /// There is nothing left to do.
    Over(Reason),
}

/// Whose turn it is with the messages that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The reactor's.
    Reactor,
    /// Nobody's: no job is free to carry them to a worker.
    NoJob,
    /// A worker's.
    Worker,
}
