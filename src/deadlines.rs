//! Who is to be looked at when: a coarse timer wheel.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::token::Token;

/// How long a peer may be slow, in each of the ways of being slow.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// From the first byte of a message to its last.
    pub message: Option<Duration>,
    /// For taking any byte of the replies that wait for it.
    pub write: Option<Duration>,
    /// For sending or taking anything at all.
    pub idle: Option<Duration>,
}

/// A moment, in milliseconds since the thread's clock was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Tick(u64);

impl Tick {
    pub(crate) fn after(self, time: Duration) -> Tick {
        let milliseconds = u64::try_from(time.as_nanos().div_ceil(1_000_000));
        Tick(self.0.saturating_add(milliseconds.unwrap_or(u64::MAX)))
    }

    pub(crate) fn until(self, later: Tick) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }
}

/// A moment in four bytes, for what is kept by the thousand: in the wheel's steps,
/// and right only within half a year of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(NonZeroU32);

impl Tick {
    /// Rounded up, so that nothing is over before its time.
    pub(crate) fn stamp(self) -> Stamp {
        Stamp(NonZeroU32::new(self.0.div_ceil(STEP) as u32).unwrap_or(NonZeroU32::MIN))
    }
}

impl Stamp {
    pub(crate) fn is_before(self, other: Stamp) -> bool {
        (self.0.get().wrapping_sub(other.0.get()) as i32) < 0
    }

    /// How long ago it was, rounded down.
    pub(crate) fn age(self, now: Tick) -> Duration {
        let steps = ((now.0 / STEP) as u32).wrapping_sub(self.0.get()) as i32;
        Duration::from_millis(u64::try_from(steps).unwrap_or(0) * STEP)
    }
}

/// The time of one thread, which is asked for only while something is timed.
#[derive(Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock(moment())
    }

    pub(crate) fn now(&self) -> Tick {
        self.at(moment())
    }

    pub(crate) fn at(&self, moment: Instant) -> Tick {
        Tick(moment.saturating_duration_since(self.0).as_millis() as u64)
    }
}

/// Now.
#[cfg(not(test))]
pub(crate) fn moment() -> Instant {
    Instant::now()
}

#[cfg(test)]
pub(crate) use scripted::moment;

/// The time that a test makes of its own, for its thread.
#[cfg(test)]
pub(crate) mod scripted {
    use std::cell::Cell;
    use std::time::{Duration, Instant};

    thread_local!(static MOMENT: Cell<Option<Instant>> = const { Cell::new(None) });

    /// From now on, on this thread, time passes by calls of this alone.
    pub(crate) fn pass(time: Duration) {
        MOMENT.set(Some(moment() + time));
    }

    pub(crate) fn moment() -> Instant {
        MOMENT.get().unwrap_or_else(Instant::now)
    }
}

/// How many milliseconds apart the wheel's slots are.
const STEP: u64 = 8;
/// How many slots the wheel has, so that it reaches about four seconds ahead.
const SLOTS: u64 = 512;

/// A hashed timer wheel of tokens.
///
/// It says who is to be looked at again, not that a deadline has passed: an
/// entry is never moved or taken out. Whoever comes up and is not due any more
/// is put in again, and one that is due beyond the wheel's reach comes up early.
/// So an entry costs nothing while its connection is busy, and those of
/// connections that are gone leave within one turn.
#[derive(Debug)]
pub(crate) struct Deadlines {
    slots: Vec<Vec<Token>>,
    /// The first step that was not looked at yet.
    next_step: u64,
    /// No entry is due before this step.
    earliest: u64,
    entries: usize,
}

impl Deadlines {
    pub(crate) fn new() -> Deadlines {
        Deadlines { slots: Vec::new(), next_step: 0, earliest: 0, entries: 0 }
    }

    /// Has `token` come up once `due` has passed, or before. Says when.
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

    /// When to call [`expire`](Deadlines::expire) next, if anything is armed.
    pub(crate) fn next(&self) -> Option<Tick> {
        (self.entries > 0).then_some(Tick(self.earliest.saturating_mul(STEP)))
    }

    /// Moves all who have come up by `now` into `out`.
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
    use super::*;

    fn expired(deadlines: &mut Deadlines, now: u64) -> Vec<u32> {
        let mut out = Vec::new();
        deadlines.expire(Tick(now), &mut out);
        out.into_iter().map(Token::slot).collect()
    }

    #[test]
    fn nobody_comes_up_late_and_everybody_comes_up() {
        let mut deadlines = Deadlines::new();
        for slot in 0..10_000 {
            deadlines.arm(Token::new(1, slot), Tick(u64::from(slot)), Tick(0));
        }
        let mut seen = 0;
        for now in (0..10_000).step_by(50) {
            seen += expired(&mut deadlines, now).len();
            assert!(seen as u64 >= now.saturating_sub(STEP), "at {now}: {seen}");
        }
        assert_eq!(seen + expired(&mut deadlines, 20_000).len(), 10_000);
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn what_is_beyond_reach_comes_up_early_and_says_so() {
        let mut deadlines = Deadlines::new();
        let now = Tick(1_000_000);
        let up = deadlines.arm(Token::new(1, 7), now.after(Duration::from_secs(3600)), now);
        assert!(now < up && up < now.after(Duration::from_secs(5)));
        assert_eq!(deadlines.next(), Some(up));
        assert!(expired(&mut deadlines, up.0 - STEP).is_empty());
        assert_eq!(expired(&mut deadlines, up.0), [7]);
    }

    #[test]
    fn a_stamp_is_right_however_long_the_server_runs() {
        for since in [0, 1, 7, 8, u64::from(u32::MAX) * STEP, 1 << 50] {
            let (since, later) = (Tick(since), Tick(since + 10_000));
            let age = since.stamp().age(later);
            assert!((9_976..=10_000).contains(&age.as_millis()), "{since:?}: {age:?}");
            assert!(since.stamp().is_before(later.stamp()));
            assert!(!later.stamp().is_before(since.stamp()));
            assert_eq!(later.stamp().age(since), Duration::ZERO);
        }
    }

    #[test]
    fn an_overdue_entry_comes_up_at_once() {
        let mut deadlines = Deadlines::new();
        deadlines.arm(Token::new(1, 1), Tick(4000), Tick(100));
        deadlines.arm(Token::new(1, 2), Tick(50), Tick(3000));
        assert_eq!(expired(&mut deadlines, 3000), [2]);
        assert_eq!(expired(&mut deadlines, 4000), [1]);
    }
}
