//! The time between a reply and the next message.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use crate::load::random::{draw, exponential};
use crate::net::token::Token;

/// How long a connection waits between a reply and its next message, in a closed loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Think {
    /// The mean of all times.
    pub mean: Duration,
    /// How they differ.
    pub spread: Spread,
}

/// How think times differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
pub enum Spread {
    /// All are the same.
    Fixed,
    /// They are distributed exponentially, and drawn from a fixed seed.
    Exp,
}

/// Chooses the think times.
const TIMES: u64 = 0x7417_4e00_0000_0000;

impl Think {
    /// How long a connection waits before its message `number`.
    pub(crate) fn before(&self, connection: u32, number: u64) -> Duration {
        match self.spread {
            Spread::Fixed => self.mean,
            Spread::Exp => self.mean.mul_f64(exponential(draw(TIMES, connection, number))),
        }
    }
}

/// The connections that think, ordered by when they send.
#[derive(Debug, Default)]
pub(crate) struct Thinking(BinaryHeap<Reverse<(Instant, Token)>>);

impl Thinking {
    pub(crate) fn insert(&mut self, until: Instant, token: Token) {
        self.0.push(Reverse((until, token)));
    }

    /// When the next connection sends, if one thinks.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((until, _))| *until)
    }

    /// Takes a connection that has thought for long enough. It may be closed meanwhile.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Token> {
        self.next_due().filter(|&until| until <= now)?;
        self.0.pop().map(|Reverse((_, token))| token)
    }
}
