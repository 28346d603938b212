//! The plan of a load.

use std::net::SocketAddr;
use std::time::Duration;

use crate::load::arrival::Arrival;
use crate::load::body::Body;
use crate::load::sources::Sources;
use crate::load::think::Think;
use crate::wire::codec::Framing;

/// The plan of a load.
///
/// It first opens all connections; then they send messages; then, with `hold`, they stay
/// open and idle, and each has one last echo.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server.
    pub target: SocketAddr,
    /// The source addresses of connections.
    pub sources: Sources,
    /// How many connections to open, at least one.
    pub connections: usize,
    /// How many threads share them, at least one.
    pub threads: usize,
    /// How many messages each connection sends, or `None` for no limit.
    pub messages: Option<u64>,
    /// For how long messages are sent, or `None` for no limit.
    pub duration: Option<Duration>,
    /// For how long messages are sent before they count.
    pub warmup: Duration,
    /// Messages per second on all connections together, in an open loop: they are sent on
    /// a schedule, whether or not replies arrive. `None` is a closed loop: each connection
    /// waits for the reply before it sends the next message.
    pub rate: Option<u64>,
    /// How messages are spread over time, in an open loop.
    pub arrival: Arrival,
    /// Where [`Arrival::Poisson`] begins among its times. With the same number the arrivals are the
    /// same, as those of runs should be that are compared. Clients that begin at one moment need
    /// different ones, or their messages are due together.
    pub arrival_seed: u32,
    /// How long a connection waits between a reply and its next message. It is for a closed
    /// loop without pipelining.
    pub think: Option<Think>,
    /// After how many messages a connection is closed and replaced by another.
    pub reconnect_every: Option<u64>,
    /// For how long the connections stay open and idle after their last reply, before one
    /// last echo on each.
    pub hold: Option<Duration>,
    /// The bytes of messages.
    pub body: Body,
    /// How many messages of a connection may be unanswered, at least one.
    pub pipeline: usize,
    /// Whether the messages of a connection are the blocks of one stream, without framing: bytes of
    /// a reply are verified as they arrive, and not when it is whole.
    pub stream: bool,
    /// How messages are separated. With [`Framing::Raw`] a reply is as long as its
    /// message.
    pub framing: Framing,
    /// What the server puts in front of each reply.
    pub reply_prefix: Vec<u8>,
    /// How replies are verified.
    pub verify: Verify,
    /// Connections to open per second, or `None` for as many as possible.
    pub connect_rate: Option<u64>,
    /// How long a connection may take to open.
    pub connect_timeout: Duration,
    /// How long a reply may take.
    pub timeout: Duration,
    /// How a connection ends after its last reply.
    pub close: Close,
    /// What follows when a connection fails.
    pub on_error: OnError,
}

/// What follows when a connection fails that was open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
pub enum OnError {
    /// It is an error, and the connection sends no more messages.
    Stop,
    /// It is an outage: the connection is opened again, and goes on with the next message. Those
    /// that were unanswered are not sent again.
    Reconnect,
}

/// How a connection ends after its last reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
pub enum Close {
    /// Half-close, and wait up to a second for the server to close. A server that does not is
    /// counted, and is no error. A reset closes, too.
    Fin,
    /// Reset the connection, which frees its local port at once.
    Rst,
    /// Half-close, and wait for the server's FIN for as long as for a reply. A server that
    /// does not send it is an error.
    Strict,
}

/// How replies are verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
pub enum Verify {
    /// Compare every byte.
    Full,
    /// Compare the length.
    Length,
    /// Only count replies, whatever their bytes and lengths. What is no reply is dropped.
    Off,
}

impl Plan {
    /// How many descriptors its threads need besides their connections: an epoll and an
    /// eventfd each.
    pub fn other_descriptors(&self) -> usize {
        2 * self.threads
    }

    /// The share of thread `number`.
    pub(crate) fn share(&self, number: usize) -> Plan {
        let one_more = usize::from(number < self.connections % self.threads);
        Plan { connections: self.connections / self.threads + one_more, ..self.clone() }
    }

    /// How long after the start connection `number` is opened.
    pub(crate) fn opens_after(&self, number: usize) -> Duration {
        match self.connect_rate {
            Some(rate) => Duration::from_secs_f64(number as f64 / rate as f64),
            None => Duration::ZERO,
        }
    }
}
