//! Reading a peer again after its reply, where that has lately paid.

use std::time::{Duration, Instant};

use crate::net::bet::{Bet, Payoff};
use crate::net::clock::now;

/// Decides whether a peer is read again in the same visit.
///
/// A peer that runs on our CPU, or is quick, has sent its next message before epoll would
/// report it, and is answered while everything about it is at hand. Where that does not
/// happen each read is wasted, so it is done while it pays, and otherwise tried now and then.
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
    is_over: bool,
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

    /// Returns whether to read once more. The first time in a visit this takes or passes over
    /// a chance of the bet.
    pub(crate) fn begin_or_continue(&mut self, extra: &mut Option<Extra>) -> bool {
        if let Some(extra) = extra {
            return !extra.is_over;
        }
        let is_placed = self.bet.place();
        if is_placed {
            *extra = Some(Extra { began: now(), reads: 0, is_over: false });
        }
        is_placed
    }

    /// The peer was read once more, which brought a message or not.
    pub(crate) fn settle(&mut self, extra: &mut Option<Extra>, brought_message: bool) {
        let Some(extra) = extra else { return };
        // Also late if our own thread was kept off the CPU: the others wait all the same.
        let payoff = match brought_message {
            _ if now() - extra.began > LONGEST => Payoff::Late,
            true => Payoff::Won,
            false => Payoff::Lost,
        };
        self.bet.settle(payoff);
        extra.reads += 1;
        extra.is_over = payoff != Payoff::Won || extra.reads == MOST;
    }
}
