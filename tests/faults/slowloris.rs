//! Peers who begin a message and take for ever to send it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use reactor_server::Interest;

use crate::client::connect;
use crate::herd::Herd;

/// Each has announced a long message, and sends a byte of it at a time.
pub struct Slowloris {
    herd: Herd<Instant>,
    /// How long those lasted who were closed.
    pub lasted: Vec<Duration>,
}

const ANNOUNCED: u32 = 1_000_000;

impl Slowloris {
    pub fn connect(address: SocketAddr, count: usize) -> Result<Slowloris> {
        let mut herd = Herd::new()?;
        for _ in 0..count {
            let stream = connect(address)?;
            herd.join(stream, Instant::now(), Interest::READABLE)?;
        }
        herd.for_each(|slow| {
            slow.state = Instant::now();
            slow.write(&ANNOUNCED.to_le_bytes())?;
            Ok(Interest::READABLE)
        })?;
        Ok(Slowloris { herd, lasted: Vec::new() })
    }

    pub fn len(&self) -> usize {
        self.herd.len()
    }

    /// Sends a byte each, and sees for that long who is closed.
    pub fn drip(&mut self, beat: Duration) -> Result<()> {
        let Slowloris { herd, lasted } = self;
        herd.for_each(|slow| {
            // It may have been closed just now, which is seen below.
            let _ = slow.write(b"x");
            Ok(Interest::READABLE)
        })?;
        let until = Instant::now() + beat;
        while Instant::now() < until && herd.len() > 0 {
            herd.visit(until.saturating_duration_since(Instant::now()), |slow, _| {
                let answer = slow.read(&mut [0]).unwrap_or(Some(0));
                ensure!(answer.unwrap_or(0) == 0, "half a message was answered");
                if answer.is_some() {
                    lasted.push(slow.state.elapsed());
                }
                Ok(answer.is_none().then_some(Interest::READABLE))
            })?;
        }
        Ok(())
    }
}
