//! All that a reactor can be told.

use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use crate::net::mailbox::Mailbox;
use crate::server::connection_log::ConnectionLog;
use crate::server::handle::Reactors;
use crate::server::push::Push;
use crate::server::seats::Seat;
use crate::server::workers::Job;

/// All that a reactor can be told, by the acceptor, by workers and through a handle.
#[derive(Debug)]
pub(crate) enum Mail<S, T = TcpStream> {
    /// Own this connection.
    Adopt(Newcomer<T>),
    /// A worker is done with this job.
    Finish(Box<Job<S>>),
    /// Send to connections, or close them.
    Push(Push),
    /// Answer what arrived, then end, at this time at the latest.
    Drain(Instant),
    /// Reset all connections and end now.
    Stop,
}

/// An accepted socket on its way to its reactor.
#[derive(Debug)]
pub(crate) struct Newcomer<T = TcpStream> {
    pub(crate) socket: T,
    pub(crate) address: SocketAddr,
    /// When it was accepted, in nanoseconds since the server was made.
    pub(crate) opened: u64,
    pub(crate) log: ConnectionLog,
    pub(crate) seat: Seat,
}

impl<S: Send> Reactors for Vec<Mailbox<Mail<S>>> {
    fn send(&self, reactor: usize, push: Push) {
        self[reactor].send(Mail::Push(push));
    }
}
