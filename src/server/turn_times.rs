//! How long the turns of an event loop take.

use std::time::{Duration, Instant};

use crate::net::counter::Counter;

/// One turn in this many is timed: two readings of the clock then cost nothing per message.
const EVERY: u32 = 64;
/// Powers of two of a microsecond: the last bound is above four seconds.
const BOUNDS: usize = 23;

/// How many turns took how long, by power of two.
#[derive(Debug, Default)]
pub(crate) struct TurnTimes {
    /// Turns of up to 1, 2, 4 ... microseconds, and those that took longer.
    counts: [Counter; BOUNDS + 1],
    nanoseconds: Counter,
}

/// Turns that were timed: a sample of all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SampledTurns {
    /// How many turns took up to this time, the shorter ones included, in ascending order.
    pub up_to: Vec<(Duration, u64)>,
    /// How many turns were timed.
    pub count: u64,
    /// How long they took together.
    pub total: Duration,
}

/// Decides which turns of one event loop are timed.
#[derive(Debug, Default)]
pub(crate) struct TurnTimer {
    turns: u32,
}

impl TurnTimer {
    /// A turn begins. Returns the time if it is one that is timed.
    pub(crate) fn begin(&mut self) -> Option<Instant> {
        self.turns = self.turns.wrapping_add(1);
        self.turns.is_multiple_of(EVERY).then(Instant::now)
    }
}

impl TurnTimes {
    /// A turn that is timed has ended.
    pub(crate) fn count(&self, time: Duration) {
        let microseconds = time.as_nanos().div_ceil(1000).max(1);
        let bound = (u128::BITS - (microseconds - 1).leading_zeros()) as usize;
        self.counts[bound.min(BOUNDS)].add(1);
        self.nanoseconds.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds these to others.
    pub(crate) fn add_to(&self, all: &mut SampledTurns) {
        let mut sum = 0;
        for (bound, count) in self.counts[..BOUNDS].iter().enumerate() {
            sum += count.get();
            let up_to = Duration::from_micros(1 << bound);
            match all.up_to.get_mut(bound) {
                Some(known) => known.1 += sum,
                None => all.up_to.push((up_to, sum)),
            }
        }
        all.count += sum + self.counts[BOUNDS].get();
        all.total += Duration::from_nanos(self.nanoseconds.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_counts_below_every_bound_that_is_no_shorter() {
        let times = TurnTimes::default();
        let of = |times: &TurnTimes| {
            let mut all = SampledTurns::default();
            times.add_to(&mut all);
            all
        };
        for nanoseconds in [1, 1000, 1001, 2000, 1 << 40] {
            times.count(Duration::from_nanos(nanoseconds));
        }
        let all = of(&times);
        let up_to = |micros: u64| {
            let bound = Duration::from_micros(micros);
            all.up_to.iter().find(|it| it.0 == bound).map(|it| it.1)
        };
        assert_eq!(
            (up_to(1), up_to(2), up_to(4), up_to(1 << 22)),
            (Some(2), Some(4), Some(4), Some(4))
        );
        assert_eq!((all.count, all.total.as_nanos()), (5, 4002 + (1 << 40)));
        let mut twice = all.clone();
        times.add_to(&mut twice);
        assert_eq!((twice.count, twice.up_to[0].1), (10, 4));
    }

    #[test]
    fn one_turn_in_many_is_timed() {
        let mut timer = TurnTimer::default();
        let timed = (0..640).filter(|_| timer.begin().is_some()).count();
        assert_eq!(timed, 10);
    }
}
