//! Reading a peer again after its reply, where that has lately paid.

use std::time::{Duration, Instant};

use crate::net::bet::{Bet, Payoff};
use crate::net::clock::now;

/// Decides whether a peer is read again in the same visit.
///
/// A peer that runs on our CPU, or is quick, has sent its next message before epoll would
/// report it, and is answered while everything about it is at hand. Where that does not
/// happen each read is wasted, so it is done while it pays and then tried now and then.
///
/// Here alone a message may cost more than a read and a write.
#[derive(Debug)]
pub(crate) struct ReadAgain {
    bet: Bet,
}

/// The reads that one visit has added so far.
#[derive(Debug)]
pub(crate) struct Extra {
    began: Instant,
    reads: u32,
}

/// How many times one visit reads again: often enough to pay, and few enough times for
/// other connections not to notice.
const MOST: u32 = 16;
/// How long that may take, with the time in which others had the CPU: twice as long as it
/// takes with peers that answer at once, and no longer than other connections can wait.
const LONGEST: Duration = Duration::from_micros(500);

impl ReadAgain {
    pub(crate) fn new() -> ReadAgain {
        ReadAgain { bet: Bet::new() }
    }

    /// Begins to read again, if it has lately paid or is to be tried.
    pub(crate) fn begin(&mut self) -> Option<Extra> {
        self.bet.place().then(|| Extra { began: now(), reads: 0 })
    }

    /// The peer was read again, which brought a message or not. Returns what is left to
    /// read, if anything.
    pub(crate) fn go_on(&mut self, mut extra: Extra, brought_message: bool) -> Option<Extra> {
        // Also late if our own thread was kept off the CPU: the others wait all the same.
        let payoff = match brought_message {
            _ if now() - extra.began > LONGEST => Payoff::Late,
            true => Payoff::Won,
            false => Payoff::Lost,
        };
        self.bet.settle(payoff);
        extra.reads += 1;
        (payoff == Payoff::Won && extra.reads < MOST).then_some(extra)
    }
}
