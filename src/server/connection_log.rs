//! The two lines of the log that each connection has: when it opens and when it closes.
//!
//! People read them and scripts parse them, so their words stay.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::net::address::Ip;
use crate::net::connection::Tally;
use crate::wire::reason::Reason;

/// The log target of these lines. Users filter by it, as in
/// `RUST_LOG=info,reactor_server::events=warn`, so the name stays.
const TARGET: &str = "reactor_server::events";

/// Which connections have their two lines in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
pub enum LogConnections {
    /// All of them, the first line as soon as they are accepted.
    #[default]
    All,
    /// Those that sent something, the first line when its first bytes are read. A probe that
    /// connects and closes leaves no line.
    Used,
    /// None of them.
    #[cfg_attr(feature = "program", value(skip))]
    None,
}

/// What the close line of a connection says.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) fd: RawFd,
    pub(crate) peer: SocketAddr,
    /// The reactor thread that owned it.
    pub(crate) thread: i32,
    pub(crate) open: Duration,
    pub(crate) messages: u64,
    pub(crate) tally: Tally,
    pub(crate) reason: Reason,
}

/// Logs connections, as far as they are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ConnectionLog {
    pub(crate) which: LogConnections,
    /// The acceptor's thread.
    pub(crate) acceptor: i32,
}

impl ConnectionLog {
    /// The acceptor accepted a connection.
    pub(crate) fn accepted(self, fd: RawFd, peer: SocketAddr) {
        if self.which == LogConnections::All {
            self.opened(fd, peer);
        }
    }

    /// The first bytes of a connection were read.
    pub(crate) fn used(self, fd: RawFd, peer: SocketAddr) {
        if self.which == LogConnections::Used {
            self.opened(fd, peer);
        }
    }

    fn opened(self, fd: RawFd, peer: SocketAddr) {
        let (ip, port, thread) = (Ip(peer), peer.port(), self.acceptor);
        log::info!(
            target: TARGET,
            "new connection fd={fd},ip={ip},port={port}, thread id is {thread}."
        );
    }

    /// The reactor that owns a connection is about to close it.
    pub(crate) fn closed(self, closed: &Closed) {
        let Closed { fd, peer, thread, messages, .. } = closed;
        let Tally { received, sent } = closed.tally;
        match self.which {
            LogConnections::All => {}
            LogConnections::Used if received > 0 => {}
            LogConnections::Used | LogConnections::None => return,
        }
        log::info!(
            target: TARGET,
            "connection close fd={fd},ip={},port={} is {thread}. \
             open={:.3}s messages={messages} in={received}B out={sent}B reason={}",
            Ip(*peer),
            peer.port(),
            closed.open.as_secs_f64(),
            closed.reason.as_str(),
        );
    }
}
