//! A peer that behaves badly, in one of the usual ways.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::Result;
use reactor_server::parts::{Event, Interest};
use socket2::SockRef;

use crate::clients::keyed_stream::fill;
use crate::clients::pool::{Client, Next, unless_blocked};

/// A way to behave badly.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// How many bytes it sends at most.
    bytes: u64,
    /// One byte in each such time, instead of all at once.
    pace: Option<Duration>,
    reads: bool,
    /// How long it stays, at most, once it has sent all it will.
    stays: Duration,
}

/// How much is sent at once.
const CHUNK: usize = 16 * 1024;

/// Resets in the middle of a message that is being written; never reads; sends a byte a
/// second; sends garbage.
pub(crate) const MANNERS: [Manner; 4] = [
    Manner { bytes: 300_000, pace: None, reads: false, stays: Duration::ZERO },
    Manner { bytes: u64::MAX, pace: None, reads: false, stays: Duration::from_secs(7) },
    Manner { bytes: 9, pace: Some(Duration::from_secs(1)), reads: true, stays: Duration::ZERO },
    Manner { bytes: 60_000, pace: None, reads: true, stays: Duration::from_millis(500) },
];

/// One such peer. The server may do anything to it.
pub(crate) struct Rogue {
    socket: TcpStream,
    key: u64,
    manner: Manner,
    sent: u64,
    /// When it sends next, or leaves.
    next: Instant,
    /// Whether the kernel takes no more.
    full: bool,
}

impl Rogue {
    pub(crate) fn new(socket: TcpStream, key: u64) -> Rogue {
        let manner = MANNERS[key as usize % MANNERS.len()];
        let next = Instant::now() + manner.pace.unwrap_or(manner.stays);
        Rogue { socket, key, manner, sent: 0, next, full: false }
    }

    /// What it does because time has passed.
    pub(crate) fn tick(&mut self) -> Result<Next> {
        let now = Instant::now();
        match self.manner.pace {
            _ if self.next > now => Ok(Next::Continue),
            Some(pace) if self.sent < self.manner.bytes => {
                self.next = now + pace;
                self.send(1);
                Ok(Next::Continue)
            }
            None if self.sent == 0 => Ok(Next::Continue),
            _ => self.leave(),
        }
    }

    /// An error is ignored here, because an event follows.
    fn send(&mut self, most: u64) {
        let mut bytes = [0; CHUNK];
        let count = (self.manner.bytes - self.sent).min(most) as usize;
        fill(!self.key, self.sent, &mut bytes[..count]);
        match unless_blocked((&self.socket).write(&bytes[..count])) {
            Ok(Some(taken)) => self.sent += taken as u64,
            Ok(None) | Err(_) => self.full = true,
        }
    }

    /// Every other with a RST.
    fn leave(&self) -> Result<Next> {
        if self.key & 4 == 0 {
            SockRef::from(&self.socket).set_linger(Some(Duration::ZERO))?;
        }
        Ok(Next::Done)
    }

    fn sends(&self) -> bool {
        self.manner.pace.is_none() && self.sent < self.manner.bytes && !self.full
    }
}

impl Client for Rogue {
    fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn interest(&self) -> Interest {
        match (self.sends(), self.manner.reads) {
            (true, true) => Interest::READABLE | Interest::WRITABLE,
            (true, false) => Interest::WRITABLE,
            (false, true) => Interest::READABLE,
            (false, false) => Interest::NONE,
        }
    }

    fn ready(&mut self, event: Event, scratch: &mut [u8]) -> Result<Next> {
        let gone = |count: Option<usize>| count == Some(0);
        if event.is_error()
            || self.manner.reads && unless_blocked((&self.socket).read(scratch)).map_or(true, gone)
        {
            return Ok(Next::Done);
        }
        if self.sends() {
            self.send(CHUNK as u64);
        }
        let in_the_middle = self.manner.stays.is_zero() && self.sent == self.manner.bytes;
        if in_the_middle { self.leave() } else { Ok(Next::Continue) }
    }
}
