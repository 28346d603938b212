//! Sequences whose connection is lost, until another is opened.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use crate::load::plan::Plan;
use crate::load::sequence::Sequence;

/// Sequences whose connection is lost, and when another is tried for each.
#[derive(Debug)]
pub(crate) struct LostSequences {
    /// By the time of the next attempt, and by the number of the connection.
    by_time: BTreeMap<(Instant, u32), Sequence>,
    /// The time between two attempts of this thread.
    pace: Duration,
    random: RandomState,
    attempts: u64,
}

/// The next attempt follows at most this part of the outage later, so that the outage is reported
/// as at most a twentieth too long.
const PART: u32 = 20;
/// A server that resets its connections is not flooded with new ones.
const SHORTEST: Duration = Duration::from_millis(10);
/// A server that is back after a long time is soon found.
const LONGEST: Duration = Duration::from_secs(1);
/// However many connections are lost at once, a thread tries at most 10,000 per second.
const PACE: Duration = Duration::from_micros(100);

impl LostSequences {
    pub(crate) fn new(plan: &Plan) -> LostSequences {
        let pace = |rate| Duration::from_secs_f64(plan.threads as f64 / rate as f64);
        LostSequences {
            by_time: BTreeMap::new(),
            pace: plan.connect_rate.map_or(PACE, pace),
            random: RandomState::new(),
            attempts: 0,
        }
    }

    /// Adds a sequence with an outage that goes on.
    pub(crate) fn add(&mut self, sequence: Sequence, now: Instant) {
        self.attempts += 1;
        let random = self.random.hash_one(self.attempts) as f64 / u64::MAX as f64;
        let since = sequence.outage.as_ref().map_or(now, |outage| outage.since);
        let delay = delay(now.saturating_duration_since(since), random);
        let turn = self.pace.saturating_mul(self.len() as u32);
        self.by_time.insert((now + delay.max(turn), sequence.connection), sequence);
    }

    /// When the next attempt is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.by_time.first_key_value().map(|((due, _), _)| *due)
    }

    /// Takes the sequence whose attempt is next, if that is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Sequence> {
        self.due().filter(|&due| due <= now)?;
        self.by_time.pop_first().map(|(_, sequence)| sequence)
    }

    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = Sequence> + use<> {
        std::mem::take(&mut self.by_time).into_values()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_time.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_time.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Sequence> {
        self.by_time.values()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Sequence> {
        self.by_time.values_mut()
    }
}

/// The time until the next attempt. It grows with the time that the connection has been lost, and
/// `random`, from 0 to 1, spreads the attempts of connections that were lost together.
fn delay(lost_for: Duration, random: f64) -> Duration {
    let longest = (lost_for / PART).clamp(SHORTEST, LONGEST);
    longest.mul_f64(0.5 + random / 2.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_outage_is_found_to_be_over_a_twentieth_or_ten_milliseconds_too_late_at_most(
            length in 0..10_000_u64, randoms in prop::collection::vec(0.0..=1.0, 16),
        ) {
            let (length, mut lost_for, mut attempts) = (Duration::from_millis(length), Duration::ZERO, 0);
            while lost_for < length {
                lost_for += delay(lost_for, randoms[attempts % randoms.len()]);
                attempts += 1;
            }
            prop_assert!(lost_for <= length + (length / PART).max(SHORTEST), "{:?}", lost_for);
            prop_assert!(attempts < 300, "{}", attempts);
        }
    }

    #[test]
    fn many_that_are_lost_at_once_are_tried_one_after_the_other() {
        let mut lost = LostSequences {
            pace: PACE,
            by_time: BTreeMap::new(),
            random: RandomState::new(),
            attempts: 0,
        };
        let now = Instant::now();
        (0..1000).for_each(|number| lost.add(Sequence::new(number), now));
        assert!(lost.take_due(now).is_none());
        let tried = |lost: &mut LostSequences, after| {
            let now = now + Duration::from_millis(after);
            std::iter::from_fn(|| lost.take_due(now)).count()
        };
        let early = tried(&mut lost, 50);
        assert!((400..=501).contains(&early), "{early}");
        assert_eq!((tried(&mut lost, 101), lost.due()), (1000 - early, None));
    }
}
