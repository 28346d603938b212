//! What a load is to be like.

use std::net::SocketAddr;
use std::time::Duration;

use crate::load::sources::Sources;
use crate::wire::codec::Framing;

/// What a load is to be like.
///
/// The connections are opened first, all of them; then they send messages; then,
/// if they are to be held, they stay open without a word and are echoed once more.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server.
    pub target: SocketAddr,
    /// Where connections come from.
    pub sources: Sources,
    /// How many connections to open; at least one.
    pub connections: usize,
    /// How many threads share them; at least one.
    pub threads: usize,
    /// How many messages each connection sends, if that is what ends it.
    pub messages: Option<u64>,
    /// For how long messages are sent, if that is what ends it.
    pub duration: Option<Duration>,
    /// For how long messages are sent before any counts.
    pub warmup: Duration,
    /// How many messages are sent a second, on all connections together: an open
    /// loop, which does not wait for replies before it goes on. Without it every
    /// connection asks, waits for the reply, and asks again: a closed loop.
    pub rate: Option<u64>,
    /// After how many messages a connection is closed and opened anew.
    pub reconnect_every: Option<u64>,
    /// How long the connections stay open when all was said, before each is echoed
    /// once more and closed.
    pub hold: Option<Duration>,
    /// Bytes of a message, framing not counted; at least one.
    pub size: usize,
    /// How many messages of a connection may be unanswered; at least one.
    pub pipeline: usize,
    /// How messages are told apart. With [`Framing::Raw`] a reply is as many
    /// bytes as the message had.
    pub framing: Framing,
    /// What the server puts in front of each reply.
    pub reply_prefix: Vec<u8>,
    /// How replies are checked.
    pub verify: Verify,
    /// Connections to open a second; without it as fast as it goes.
    pub connect_rate: Option<u64>,
    /// How long a connection may take to open.
    pub connect_timeout: Duration,
    /// How long a reply may take.
    pub timeout: Duration,
}

/// How replies are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
pub enum Verify {
    /// Every byte.
    Full,
    /// Their length.
    Length,
    /// Not at all; they are counted.
    Off,
}

impl Plan {
    /// How many descriptors its threads need beside their connections: an epoll and a
    /// bell each.
    pub fn other_descriptors(&self) -> usize {
        2 * self.threads
    }

    /// The part of the plan that is for thread `number`.
    pub(crate) fn share(&self, number: usize) -> Plan {
        let one_more = usize::from(number < self.connections % self.threads);
        Plan { connections: self.connections / self.threads + one_more, ..self.clone() }
    }

    /// When, after the start, the connection with this number is opened.
    pub(crate) fn opens_after(&self, number: usize) -> Duration {
        match self.connect_rate {
            Some(rate) => Duration::from_secs_f64(number as f64 / rate as f64),
            None => Duration::ZERO,
        }
    }
}
