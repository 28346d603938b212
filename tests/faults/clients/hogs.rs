//! Clients that send forever and never read.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reactor_server::parts::{Event, Interest};
use socket2::SockRef;

use crate::clients::blocking;
use crate::clients::pool::{Client, Next, Pool, unless_blocked};

/// Each sends whatever its kernel takes, up to a mebibyte, and reads nothing.
pub(crate) struct Hogs {
    pool: Pool<Hog>,
    pub(crate) sent: u64,
    /// When a byte was last sent.
    pub(crate) stalled: Instant,
    /// When the last of those that are gone went.
    pub(crate) evicted: Option<Instant>,
}

struct Hog {
    stream: TcpStream,
    /// Whole messages, in the framing that the server expects.
    messages: Rc<[u8]>,
    sent: usize,
    most: usize,
}

/// What one sends at most, so that a server that takes everything does not take the
/// machine's memory.
const MOST: usize = 1 << 20;

impl Hogs {
    /// When it returns each got one reply, and none sends yet.
    pub(crate) fn connect(address: SocketAddr, count: usize, message: usize) -> Result<Hogs> {
        let (mut pool, messages) = (Pool::new()?, messages(message));
        for number in 0..count {
            let stream = connect(address).with_context(|| format!("hog {number} of {count}"))?;
            pool.add(Hog { stream, messages: Rc::clone(&messages), sent: 0, most: 0 })?;
        }
        Ok(Hogs { pool, sent: 0, stalled: Instant::now(), evicted: None })
    }

    /// How many are still connected.
    pub(crate) fn len(&self) -> usize {
        self.pool.len()
    }

    /// All send from now on.
    pub(crate) fn wake(&mut self) -> Result<()> {
        self.pool.for_each(|hog| hog.most = MOST)
    }

    /// As [`feed`](Hogs::feed), for that long.
    pub(crate) fn feed_for(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.feed(until.saturating_duration_since(Instant::now()))?;
        }
        Ok(())
    }

    /// Sends what the kernel takes, and notices which are gone.
    pub(crate) fn feed(&mut self, time: Duration) -> Result<()> {
        let before = self.sent_by_connected()?;
        let gone = self.pool.turn(time)?;
        let sent_by_gone: u64 = gone.iter().map(|hog| hog.sent as u64).sum();
        let sent = self.sent_by_connected()? + sent_by_gone - before;
        self.sent += sent;
        if sent > 0 {
            self.stalled = Instant::now();
        }
        if !gone.is_empty() {
            self.evicted = Some(Instant::now());
        }
        Ok(())
    }

    fn sent_by_connected(&mut self) -> Result<u64> {
        let mut sent = 0;
        self.pool.for_each(|hog| sent += hog.sent as u64)?;
        Ok(sent)
    }
}

impl Client for Hog {
    fn socket(&self) -> &TcpStream {
        &self.stream
    }

    fn interest(&self) -> Interest {
        if self.sent < self.most { Interest::WRITABLE } else { Interest::NONE }
    }

    fn ready(&mut self, event: Event, _: &mut [u8]) -> Result<Next> {
        if event.is_error() {
            return Ok(Next::Done);
        }
        if self.sent < self.most {
            let next = &self.messages[self.sent % self.messages.len()..];
            // If it fails, the next event is the error.
            let sent = unless_blocked(self.stream.write(next)).ok().flatten();
            self.sent += sent.unwrap_or_default();
        }
        Ok(Next::Continue)
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let mut stream = blocking::connect_from_afar(address)?;
    // A thousand of them should not take the machine's memory on this side either.
    SockRef::from(&stream).set_send_buffer_size(4096)?;
    blocking::echo(&mut stream, &messages(16)[..16])?;
    Ok(stream)
}

/// Messages of that many bytes: whole ones with a length in front, just bytes without.
fn messages(size: usize) -> Rc<[u8]> {
    let mut message = vec![b'x'; size];
    message[..4].copy_from_slice(&(size as u32 - 4).to_le_bytes());
    message.repeat((64_usize << 10).div_ceil(size)).into()
}
