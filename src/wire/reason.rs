//! Why a connection was closed.

use std::io;

/// Why a connection was closed: `reason=` of the close line, and a counter each
/// ([`Stats::closed_for`](crate::Stats::closed_for)). Later versions may have more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Reason {
    /// The peer sent its FIN, and was answered.
    Eof,
    /// The peer sent its FIN in the middle of a message.
    Truncated,
    /// The peer reset the connection.
    Reset,
    /// The connection failed in another way, such as a timeout or an unreachable peer.
    Error,
    /// A message was longer than allowed.
    TooLong,
    /// A message was not complete in time.
    FrameTimeout,
    /// The peer took no reply bytes for too long.
    WriteTimeout,
    /// Nothing was received or sent for too long.
    IdleTimeout,
    /// The handler panicked.
    Panic,
    /// The server closed it: [`Reply::close`](crate::Reply::close) or
    /// [`Handle::close`](crate::Handle::close) was called.
    Close,
    /// The peer did not take what was pushed to it, and
    /// [`WhenFull::Close`](crate::WhenFull::Close) was asked for.
    PushFull,
    /// A proxy was expected, and this is none that is trusted, or it sent no right header in time.
    /// See [`Config::proxy`](crate::Config::proxy).
    ProxyHeader,
    /// The server drained.
    Drain,
    /// The server was told to stop at once, or its time to drain was over.
    Stop,
}

impl Reason {
    /// All reasons, in the order of their numbers.
    pub const ALL: &'static [Reason] = &[
        Reason::Eof,
        Reason::Truncated,
        Reason::Reset,
        Reason::Error,
        Reason::TooLong,
        Reason::FrameTimeout,
        Reason::WriteTimeout,
        Reason::IdleTimeout,
        Reason::Panic,
        Reason::Close,
        Reason::PushFull,
        Reason::ProxyHeader,
        Reason::Drain,
        Reason::Stop,
    ];

    /// Its word in the log.
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
            Reason::Close => "close",
            Reason::PushFull => "push-full",
            Reason::ProxyHeader => "proxy-header",
            Reason::Drain => "drain",
            Reason::Stop => "stop",
        }
    }

    /// The reason that a failed read or write is.
    pub(crate) fn of(error: &io::Error) -> Reason {
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected => Reason::Reset,
            _ => Reason::Error,
        }
    }

    /// Returns whether the peer sent its FIN.
    pub(crate) fn peer_has_finished(self) -> bool {
        matches!(self, Reason::Eof | Reason::Truncated)
    }

    /// Returns whether the connection is closed by a RST, which throws away what is under way
    /// to the peer.
    pub(crate) fn resets(self) -> bool {
        matches!(self, Reason::WriteTimeout | Reason::PushFull | Reason::Stop)
    }
}
