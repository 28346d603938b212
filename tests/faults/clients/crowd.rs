//! Clients that each send a stream of their own and verify what comes back.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reactor_server::parts::{Event, Interest};
use socket2::{Domain, Socket, Type};

use crate::clients::blocking::begin;
use crate::clients::keyed_stream;
use crate::clients::pool::{Client, Next, Pool, unless_blocked};
use crate::harness::server::PATIENCE;

/// How the clients of a crowd send.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    /// Bytes to send at once.
    pub(crate) chunk: usize,
    /// Bytes that may be under way, there and back.
    pub(crate) window: u64,
    /// The size to ask for of both socket buffers.
    pub(crate) buffers: Option<usize>,
}

/// Clients that send and read whenever they can.
pub(crate) struct Crowd {
    pool: Pool<Streamer>,
    joined: usize,
    /// What the clients that are done received.
    received_by_done: u64,
}

/// One client of the crowd.
struct Streamer {
    stream: TcpStream,
    manner: Manner,
    key: u64,
    sent: u64,
    received: u64,
    /// How much it sends before it finishes.
    goal: u64,
    finished: bool,
    /// Whether it stops reading.
    deaf: bool,
}

/// A crowd is at rest once nothing moves for this long.
const REST: Duration = Duration::from_millis(20);

/// What a client that does not read sends at most, to a server that never makes it wait.
const MOST: u64 = 1 << 20;

impl Default for Manner {
    fn default() -> Manner {
        Manner { chunk: 16 << 10, window: 64 << 10, buffers: None }
    }
}

impl Crowd {
    /// Connects clients whose streams have no end yet. Each waits until the one before is
    /// served, because a server may not have room for all of them to wait.
    pub(crate) fn connect(address: SocketAddr, count: usize, manner: Manner) -> Result<Crowd> {
        let mut crowd = Crowd { pool: Pool::new()?, joined: 0, received_by_done: 0 };
        for key in 0..count {
            crowd.pool.add(Streamer::connect(address, key as u64, manner)?)?;
            crowd.joined += 1;
            crowd.run_until("the last client is served", |crowd| {
                let mut served = false;
                crowd.pool.for_each(|client| {
                    served |= client.key == key as u64 && client.received > 0;
                })?;
                Ok(served)
            })?;
        }
        Ok(crowd)
    }

    /// Runs the clients once, and returns how many bytes moved.
    fn turn(&mut self, patience: Duration) -> Result<u64> {
        let before = self.total(|client| client.sent + client.received)?;
        let done = self.pool.turn(patience)?;
        let moved_by_done: u64 = done.iter().map(|client| client.sent + client.received).sum();
        self.received_by_done += done.iter().map(|client| client.received).sum::<u64>();
        let after = self.total(|client| client.sent + client.received)? + moved_by_done;
        // A FIN moves no byte, and is progress all the same.
        Ok(after - before + done.len() as u64)
    }

    fn total(&mut self, count: impl Fn(&Streamer) -> u64) -> Result<u64> {
        let mut total = 0;
        self.pool.for_each(|client| total += count(client))?;
        Ok(total)
    }

    /// Runs the clients until a fact is true, as long as something moves.
    fn run_until(
        &mut self,
        what: &str,
        mut fact: impl FnMut(&mut Crowd) -> Result<bool>,
    ) -> Result<()> {
        let mut moved = Instant::now();
        while !fact(self)? {
            if self.turn(Duration::from_millis(10))? > 0 {
                moved = Instant::now();
            }
            ensure!(moved.elapsed() < PATIENCE, "no byte for {PATIENCE:?} while waiting: {what}");
        }
        Ok(())
    }

    /// Runs the clients until nothing moves any more, because the server does nothing.
    pub(crate) fn come_to_rest(&mut self) -> Result<()> {
        let began = Instant::now();
        while self.turn(REST)? > 0 {
            ensure!(began.elapsed() < PATIENCE, "the bytes do not end");
        }
        Ok(())
    }

    /// Runs the clients until they received `bytes` more.
    pub(crate) fn receive(&mut self, bytes: u64) -> Result<()> {
        let goal = self.received()? + bytes;
        self.run_until("more bytes", |crowd| Ok(crowd.received()? >= goal))
    }

    /// Sets which clients read. One that does not soon cannot send either.
    pub(crate) fn set_reading(&mut self, which: Range<usize>, reading: bool) -> Result<()> {
        self.pool.for_each(|client| {
            if which.contains(&(client.key as usize)) {
                client.deaf = !reading;
            }
        })
    }

    /// How many bytes came back so far.
    fn received(&mut self) -> Result<u64> {
        Ok(self.received_by_done + self.total(|client| client.received)?)
    }

    /// How many bytes are under way.
    pub(crate) fn under_way(&mut self) -> Result<u64> {
        self.total(|client| client.sent - client.received)
    }

    /// Each client sends `bytes` in all, gets all of them back, and only then finishes, so
    /// that the server is not judged by how it handles a half-close. Returns how many bytes
    /// came back.
    pub(crate) fn finish_after(mut self, bytes: u64) -> Result<u64> {
        self.pool.for_each(|client| {
            client.goal = bytes.max(client.sent);
            client.deaf = false;
        })?;
        self.run_until("the rest and a FIN", |crowd| Ok(crowd.pool.len() == 0))?;
        self.received()
    }
}

impl Streamer {
    fn connect(address: SocketAddr, key: u64, manner: Manner) -> Result<Streamer> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if let Some(bytes) = manner.buffers {
            socket.set_recv_buffer_size(bytes)?;
            socket.set_send_buffer_size(bytes)?;
            // Otherwise the kernel waits for more room than there ever is.
            socket.set_tcp_mss((bytes as u32 / 8).clamp(500, 1400))?;
        }
        let stream = begin(socket, address)?;
        stream.set_nodelay(true)?;
        let (sent, received, finished, deaf) = Default::default();
        Ok(Streamer { stream, manner, key, sent, received, goal: u64::MAX, finished, deaf })
    }

    fn may_send(&self) -> usize {
        let window = if self.deaf { MOST } else { self.manner.window };
        let window = window.saturating_sub(self.sent - self.received);
        self.manner.chunk.min(window.min(self.goal - self.sent) as usize)
    }

    fn must_finish(&self) -> bool {
        self.received == self.goal && !self.finished
    }

    fn send(&mut self, scratch: &mut [u8]) -> Result<()> {
        if self.must_finish() {
            self.stream.shutdown(Shutdown::Write).context("cannot half-close")?;
            self.finished = true;
        }
        let bytes = &mut scratch[..self.may_send()];
        if !bytes.is_empty() {
            keyed_stream::fill(self.key, self.sent, bytes);
            let sent = unless_blocked((&self.stream).write(bytes)).context("cannot send")?;
            self.sent += sent.unwrap_or(0) as u64;
        }
        Ok(())
    }

    fn read(&mut self, scratch: &mut [u8]) -> Result<Next> {
        let read = unless_blocked((&self.stream).read(scratch)).context("cannot read")?;
        let Some(count) = read else { return Ok(Next::Continue) };
        if count == 0 {
            ensure!(self.finished && self.received == self.goal, "the server's FIN came early");
            return Ok(Next::Done);
        }
        keyed_stream::check(self.key, self.received, &scratch[..count])?;
        self.received += count as u64;
        Ok(Next::Continue)
    }
}

impl Client for Streamer {
    fn socket(&self) -> &TcpStream {
        &self.stream
    }

    fn interest(&self) -> Interest {
        match (self.deaf, self.may_send() > 0 || self.must_finish()) {
            (true, true) => Interest::WRITABLE,
            (true, false) => Interest::NONE,
            (false, true) => Interest::READABLE | Interest::WRITABLE,
            (false, false) => Interest::READABLE,
        }
    }

    /// Sends before it reads, so that its window is full whenever it can be.
    fn ready(&mut self, _: Event, scratch: &mut [u8]) -> Result<Next> {
        let (sent, received) = (self.sent, self.received);
        let next = self.send(scratch).and_then(|()| match self.deaf {
            true => Ok(Next::Continue),
            false => self.read(scratch),
        });
        next.with_context(|| format!("after {sent} bytes sent and {received} received"))
    }
}
