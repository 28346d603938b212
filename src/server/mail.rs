//! All that a reactor can be told.

use std::net::TcpStream;
use std::time::Instant;

use crate::server::dispatch::Job;
use crate::server::peer::Newcomer;

/// All that a reactor can be told: by the acceptor, and by workers.
#[derive(Debug)]
pub(crate) enum Mail<S, T = TcpStream> {
    /// A connection for it to own.
    Adopt(Newcomer<T>),
    /// A job has come home from a worker.
    Done(Box<Job<S>>),
    /// Answer what has arrived, then end, by that moment at the latest.
    Drain(Instant),
}
