//! All that a reactor can be told.

use std::net::TcpStream;
use std::time::Instant;

use crate::server::peer::Newcomer;
use crate::server::workers::Job;

/// All that a reactor can be told, by the acceptor and by workers.
#[derive(Debug)]
pub(crate) enum Mail<S, T = TcpStream> {
    /// Own this connection.
    Adopt(Newcomer<T>),
    /// A worker is done with this job.
    Finish(Box<Job<S>>),
    /// Answer what arrived, then end, at this time at the latest.
    Drain(Instant),
    /// Reset all connections and end now.
    Stop,
}
