//! A client that sends its share without reading, then reads to the end.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;

use anyhow::{Result, ensure};
use reactor_server::parts::{Event, Interest};

use crate::clients::pool::{Client, Next, unless_blocked};

/// One of many whose streams are parts of the same noise, from different places on:
/// a gigabyte of it costs a comparison and no more.
pub(crate) struct Hose {
    socket: TcpStream,
    noise: Rc<[u8]>,
    origin: usize,
    manner: Manner,
    /// How much it sends before it reads.
    pub(crate) share: u64,
    pub(crate) sent: u64,
    /// How much of that was acknowledged before the signal.
    pub(crate) acked: u64,
    pub(crate) received: u64,
    reads: bool,
    /// Whether it ended otherwise than with a FIN.
    pub(crate) broken: bool,
}

/// What it does about its own direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Sends,
    Silent,
    HalfCloses,
}

impl Hose {
    /// Every eighth is to send three times as much as the mean, more than the server
    /// can read before its own buffers are full.
    pub(crate) fn new(
        socket: TcpStream,
        noise: Rc<[u8]>,
        number: usize,
        mean: u64,
    ) -> Result<Hose> {
        use Manner::{HalfCloses, Sends, Silent};
        socket.set_nonblocking(true)?;
        let manner = [Sends, Silent, Sends, HalfCloses][number / 8 % 4];
        let share = if number.is_multiple_of(8) { 3 * mean } else { mean * 5 / 7 };
        let (origin, reads, broken) = (number * 7919 % noise.len(), false, false);
        let (sent, acked, received) = Default::default();
        Ok(Hose { socket, noise, origin, manner, share, sent, acked, received, reads, broken })
    }

    pub(crate) fn port(&self) -> Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    pub(crate) fn half_close(&mut self) -> Result<Next> {
        if self.manner == Manner::HalfCloses {
            self.socket.shutdown(Shutdown::Write)?;
        }
        Ok(Next::Continue)
    }

    /// Half of them keep sending for as long as they can.
    pub(crate) fn send_on(&mut self) -> Result<Next> {
        self.share = if self.manner == Manner::Sends { u64::MAX } else { self.sent };
        Ok(Next::Continue)
    }

    pub(crate) fn read_on(&mut self) -> Result<Next> {
        self.reads = true;
        Ok(Next::Continue)
    }

    /// As much of the stream as is at hand from there on.
    fn stream(&self, position: u64) -> &[u8] {
        &self.noise[(self.origin + position as usize) % self.noise.len()..]
    }

    fn send(&mut self) -> std::io::Result<()> {
        let bytes = self.stream(self.sent);
        // Once it reads, that comes first.
        let most = if self.reads { 4 * 1024 } else { 128 * 1024 };
        let count = (self.share - self.sent).min(bytes.len().min(most) as u64) as usize;
        if count > 0
            && let Some(taken) = unless_blocked((&self.socket).write(&bytes[..count]))?
        {
            self.sent += taken as u64;
        }
        Ok(())
    }

    /// Returns whether that was the end.
    fn receive(&mut self, scratch: &mut [u8]) -> Result<bool> {
        let count = match unless_blocked((&self.socket).read(scratch)) {
            Ok(None) => return Ok(false),
            Ok(Some(count)) => count,
            Err(_) => {
                self.broken = true;
                return Ok(true);
            }
        };
        let mut bytes = &scratch[..count];
        while !bytes.is_empty() {
            let stream = self.stream(self.received);
            let (now, later) = bytes.split_at(bytes.len().min(stream.len()));
            ensure!(stream.starts_with(now), "what came back after byte {} differs", self.received);
            self.received += now.len() as u64;
            bytes = later;
        }
        Ok(count == 0)
    }
}

impl Client for Hose {
    fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn interest(&self) -> Interest {
        match (self.reads, self.sent < self.share) {
            (true, true) => Interest::READABLE | Interest::WRITABLE,
            (true, false) => Interest::READABLE,
            (false, true) => Interest::WRITABLE,
            (false, false) => Interest::NONE,
        }
    }

    fn ready(&mut self, event: Event, scratch: &mut [u8]) -> Result<Next> {
        if self.reads && (event.is_readable() || event.is_error()) && self.receive(scratch)? {
            return Ok(Next::Done);
        }
        if event.is_writable() && self.send().is_err() {
            // What arrived before that can still be read.
            (self.broken, self.share) = (true, self.sent);
        }
        Ok(Next::Continue)
    }
}
