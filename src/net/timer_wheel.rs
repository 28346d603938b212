//! A coarse timer wheel of tokens.

use crate::net::clock::{STEP, Tick};
use crate::net::token::Token;

/// How many slots the wheel has, so that it reaches about four seconds ahead.
const SLOTS: u64 = 512;

/// A hashed timer wheel of tokens, with a slot every [`STEP`] milliseconds.
///
/// An entry that expires says that its connection is to be checked, not that a deadline
/// has passed. Entries are never moved or removed: the owner arms an entry again when it
/// expired too early, and an entry due beyond the wheel's reach does expire early. So a
/// busy connection costs nothing, and the entries of closed connections are gone within
/// one turn of the wheel.
#[derive(Debug)]
pub(crate) struct TimerWheel {
    slots: Vec<Vec<Token>>,
    /// The first step that was not expired yet.
    next_step: u64,
    /// No entry is due before this step.
    earliest: u64,
    entries: usize,
}

impl TimerWheel {
    pub(crate) fn new() -> TimerWheel {
        TimerWheel { slots: Vec::new(), next_step: 0, earliest: 0, entries: 0 }
    }

    /// Arms an entry for `token`. Returns when it expires: soon after `due`, or before.
    pub(crate) fn arm(&mut self, token: Token, due: Tick, now: Tick) -> Tick {
        if self.entries == 0 {
            self.slots.resize_with(SLOTS as usize, Vec::new);
            self.next_step = now.0 / STEP;
            self.earliest = u64::MAX;
        }
        let step = due.0.div_ceil(STEP).clamp(self.next_step, self.next_step + SLOTS - 1);
        self.slots[(step % SLOTS) as usize].push(token);
        self.earliest = self.earliest.min(step);
        self.entries += 1;
        Tick(step * STEP)
    }

    /// When to call [`expire`](TimerWheel::expire) next, if anything is armed.
    pub(crate) fn next(&self) -> Option<Tick> {
        (self.entries > 0).then_some(Tick(self.earliest.saturating_mul(STEP)))
    }

    /// Moves the tokens of all entries that expire by `now` into `out`.
    pub(crate) fn expire(&mut self, now: Tick, out: &mut Vec<Token>) {
        let last = now.0 / STEP;
        while self.entries > 0 && self.next_step <= last {
            let slot = &mut self.slots[(self.next_step % SLOTS) as usize];
            self.entries -= slot.len();
            out.append(slot);
            slot.shrink_to(8);
            self.next_step += 1;
        }
        self.earliest = self.first_step().unwrap_or(u64::MAX);
    }

    fn first_step(&self) -> Option<u64> {
        if self.entries == 0 {
            return None;
        }
        let slot = |step: &u64| !self.slots[(step % SLOTS) as usize].is_empty();
        (self.next_step..self.next_step + SLOTS).find(slot)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn expired(wheel: &mut TimerWheel, now: u64) -> Vec<u32> {
        let mut out = Vec::new();
        wheel.expire(Tick(now), &mut out);
        out.into_iter().map(Token::slot).collect()
    }

    #[test]
    fn no_entry_expires_late_and_every_entry_expires() {
        let mut wheel = TimerWheel::new();
        for slot in 0..10_000 {
            wheel.arm(Token::new(1, slot), Tick(u64::from(slot)), Tick(0));
        }
        let mut seen = 0;
        for now in (0..10_000).step_by(50) {
            seen += expired(&mut wheel, now).len();
            assert!(seen as u64 >= now.saturating_sub(STEP), "at {now}: {seen}");
        }
        assert_eq!(seen + expired(&mut wheel, 20_000).len(), 10_000);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn an_entry_beyond_reach_expires_early_and_says_so() {
        let mut wheel = TimerWheel::new();
        let now = Tick(1_000_000);
        let at = wheel.arm(Token::new(1, 7), now.after(Duration::from_secs(3600)), now);
        assert!(now < at && at < now.after(Duration::from_secs(5)));
        assert_eq!(wheel.next(), Some(at));
        assert!(expired(&mut wheel, at.0 - STEP).is_empty());
        assert_eq!(expired(&mut wheel, at.0), [7]);
    }

    #[test]
    fn an_overdue_entry_expires_at_once() {
        let mut wheel = TimerWheel::new();
        wheel.arm(Token::new(1, 1), Tick(4000), Tick(100));
        wheel.arm(Token::new(1, 2), Tick(50), Tick(3000));
        assert_eq!(expired(&mut wheel, 3000), [2]);
        assert_eq!(expired(&mut wheel, 4000), [1]);
    }
}
