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

/// The acceptor, which is thread `thread`, accepted a connection.
pub(crate) fn opened(fd: RawFd, peer: SocketAddr, thread: i32) {
    let (ip, port) = (Ip(peer), peer.port());
    log::info!(target: TARGET, "new connection fd={fd},ip={ip},port={port}, thread id is {thread}.");
}

/// The reactor that owns a connection is about to close it.
pub(crate) fn closed(closed: &Closed) {
    let Closed { fd, peer, thread, messages, .. } = closed;
    let Tally { received, sent } = closed.tally;
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
