//! Why a connection was closed.

use std::io;

/// Why a connection was closed: `reason=` of the close line, and a counter each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// The peer had sent its last byte, and was answered.
    Eof,
    /// The peer had sent its last byte in the middle of a message.
    Truncated,
    /// The peer has reset the connection.
    Reset,
    /// The connection failed in another way: timed out, unreachable.
    Error,
    /// A message was longer than is allowed.
    TooLong,
    /// A message did not become whole in time.
    FrameTimeout,
    /// The peer took no reply bytes for too long.
    WriteTimeout,
    /// Nothing came or went for too long.
    IdleTimeout,
    /// The handler panicked.
    Panic,
    /// The server drained.
    Drain,
    /// The server was told to stop now, or its time to drain was over.
    Stop,
}

impl Reason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Reason; 11] = [
        Reason::Eof,
        Reason::Truncated,
        Reason::Reset,
        Reason::Error,
        Reason::TooLong,
        Reason::FrameTimeout,
        Reason::WriteTimeout,
        Reason::IdleTimeout,
        Reason::Panic,
        Reason::Drain,
        Reason::Stop,
    ];

    /// The word for it in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Eof => "eof",
            Reason::Truncated => "truncated",
            Reason::Reset => "reset",
            Reason::Error => "error",
            Reason::TooLong => "too-long",
            Reason::FrameTimeout => "frame-timeout",
            Reason::WriteTimeout => "write-timeout",
            Reason::IdleTimeout => "idle-timeout",
            Reason::Panic => "panic",
            Reason::Drain => "drain",
            Reason::Stop => "stop",
        }
    }

    /// What the failure of a read or a write means.
    pub(crate) fn of(error: &io::Error) -> Reason {
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected => Reason::Reset,
            _ => Reason::Error,
        }
    }

    /// Whether the peer has said that it sends no more.
    pub(crate) fn peer_has_finished(self) -> bool {
        matches!(self, Reason::Eof | Reason::Truncated)
    }

    /// Whether what is still on its way to the peer is thrown away, with a RST.
    pub(crate) fn resets(self) -> bool {
        matches!(self, Reason::WriteTimeout | Reason::Stop)
    }
}
