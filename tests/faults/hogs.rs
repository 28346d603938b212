//! Peers who send for ever and never read.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reactor_server::Interest;
use socket2::SockRef;

use crate::client;
use crate::herd::Herd;

/// Each sends whatever its kernel takes, up to a mebibyte, and reads nothing.
pub struct Hogs {
    herd: Herd<usize>,
    /// Messages, whole ones in the framing that the server expects.
    text: Vec<u8>,
    pub sent: u64,
    /// When a byte was last sent, and when the last of those who are gone went.
    pub stalled: Instant,
    pub evicted: Option<Instant>,
}

/// What one sends at most, so that a server which takes everything does not take the
/// machine's memory.
const MOST: usize = 1 << 20;

impl Hogs {
    /// When it returns each was answered once, and the server is ready for more.
    pub fn connect(address: SocketAddr, count: usize, message: usize) -> Result<Hogs> {
        let (mut herd, text) = (Herd::new()?, text(message));
        for number in 0..count {
            let stream = connect(address).with_context(|| format!("hog {number} of {count}"))?;
            herd.join(stream, 0, Interest::NONE)?;
        }
        let (sent, stalled, evicted) = (0, Instant::now(), None);
        Ok(Hogs { herd, text, sent, stalled, evicted })
    }

    /// How many are still connected.
    pub fn len(&self) -> usize {
        self.herd.len()
    }

    /// All have something to send, from now on.
    pub fn wake(&mut self) -> Result<()> {
        self.herd.for_each(|_| Ok(Interest::WRITABLE))
    }

    /// As [`feed`](Hogs::feed), for that long.
    pub fn feed_for(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.feed(until.saturating_duration_since(Instant::now()))?;
        }
        Ok(())
    }

    /// Has those send who can, and sees who is gone.
    pub fn feed(&mut self, time: Duration) -> Result<()> {
        let Hogs { herd, text, sent, stalled, evicted } = self;
        herd.visit(time, |hog, event| {
            if event.is_error() {
                *evicted = Some(Instant::now());
                return Ok(None);
            }
            let next = &text[hog.state % text.len()..];
            // If it fails, the next event is the error.
            let count = hog.write(next).unwrap_or_default();
            if count > 0 {
                *stalled = Instant::now();
            }
            hog.state += count;
            *sent += count as u64;
            Ok(Some(if hog.state < MOST { Interest::WRITABLE } else { Interest::NONE }))
        })
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let mut stream = client::connect_from_afar(address)?;
    // A thousand of them should not take the machine's memory on this side either.
    SockRef::from(&stream).set_send_buffer_size(4096)?;
    client::echo(&mut stream, &text(16)[..16])?;
    Ok(stream)
}

/// Messages of that many bytes: whole ones with a length in front, just bytes without.
fn text(message: usize) -> Vec<u8> {
    let mut text = vec![b'x'; message];
    text[..4].copy_from_slice(&(message as u32 - 4).to_le_bytes());
    text.repeat((64_usize << 10).div_ceil(message))
}
