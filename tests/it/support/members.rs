//! A server that sends to its connections, and connections of it.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;
use super::running::Running;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use reactor_server::{Config, ConnectionId, Counter, Handler, ReactorStats, Reply, To, WhenFull};

/// Passes on the names of its connections. It echoes lines, has the server wait at the line
/// `wait`, answers `long` with [`LONG`] bytes, and `twice` with a reply and a push behind it.
pub(crate) struct Room {
    ids: Sender<ConnectionId>,
    /// Announces that it waits, and until when.
    gate: (Sender<()>, Receiver<()>),
}

impl Handler for Room {
    type Session = ConnectionId;

    fn opened(&self, id: ConnectionId, _: SocketAddr, _: &mut Reply<'_>) -> ConnectionId {
        self.ids.send(id).expect("the test reads it");
        id
    }

    fn message(&self, id: &mut ConnectionId, message: &[u8], reply: &mut Reply<'_>) {
        if message == b"wait" {
            let (arrived, go_on) = &self.gate;
            arrived.send(()).expect("the test reads it");
            let _ = go_on.recv();
        }
        match message {
            b"long" => reply.send(&[&[b'x'; LONG]]),
            _ => reply.send(&[message]),
        }
        if message == b"twice" {
            let pushed = reply.handle().send(*id, &[b"pushed"], WhenFull::Close);
            assert_eq!(pushed, Ok(()));
        }
    }
}

/// The length of the reply to `long`.
pub(crate) const LONG: usize = 10_000;

/// A server with a [`Room`], and its connections.
pub(crate) struct Members {
    pub(crate) server: Running,
    ids: Receiver<ConnectionId>,
    pub(crate) waits: Receiver<()>,
    pub(crate) go_on: Sender<()>,
}

impl Members {
    pub(crate) fn start(config: Config) -> Members {
        let ((ids, named), (arrived, waits), (go_on, gate)) =
            (unbounded(), unbounded(), bounded(0));
        let server = Running::start(config, Room { ids, gate: (arrived, gate) });
        Members { server, ids: named, waits, go_on }
    }

    /// A connection, and its name.
    pub(crate) fn join(&self) -> (TcpStream, ConnectionId) {
        let stream = self.server.connect();
        (stream, self.ids.recv_timeout(PATIENCE).expect("it opens"))
    }

    /// Has the thread that answers this connection wait until `go_on`.
    pub(crate) fn hold(&self, stream: &mut TcpStream) {
        stream.write_all(b"wait\n").expect("sent");
        self.waits.recv_timeout(PATIENCE).expect("it waits");
    }

    pub(crate) fn sum(&self, counter: impl Fn(&ReactorStats) -> &Counter) -> u64 {
        self.server.handle.stats().sum(counter)
    }

    pub(crate) fn send<'a>(&self, to: impl Into<To<'a>>, message: &[u8]) {
        assert_eq!(self.server.handle.send(to, &[message], WhenFull::Close), Ok(()));
    }
}
