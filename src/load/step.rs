//! Steps of time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;

/// The length of a step of time.
pub const STEP: Duration = Duration::from_millis(100);
const NANOS: u128 = STEP.as_nanos();

/// What happened in one step of time.
///
/// A reply belongs to the step in which it arrived. A thread looks at the clock before it waits
/// for events, so that the replies of one wait (at most 256 reads) belong to one step, and one
/// that arrives up to 2 ms after the end of a step may belong to it.
#[derive(Debug, Clone)]
pub struct StepRecord {
    /// Steps since 1970, by the machine's clock when the load started.
    pub number: u64,
    /// When it ended, or for the last one will.
    pub ended: Instant,
    /// Nanoseconds, as in [`Outcome::latency`](super::Outcome::latency); `None` without replies.
    pub latency: Option<Histogram<u64>>,
    /// Connections open at its end.
    pub open: u64,
    /// Connections that failed, or received wrong bytes.
    pub errors: u64,
    /// Connections opened to replace another, as planned or after an outage that is over.
    pub reopened: u64,
}

impl StepRecord {
    /// Replies that count.
    pub fn messages(&self) -> u64 {
        self.latency.as_ref().map_or(0, Histogram::len)
    }

    /// Adds what another thread did in the same step, and takes its latencies.
    pub(crate) fn add(&mut self, other: &mut StepRecord) {
        self.errors += other.errors;
        self.reopened += other.reopened;
        match (&mut self.latency, other.latency.take()) {
            (Some(ours), Some(theirs)) => *ours += theirs,
            (ours, theirs) => *ours = ours.take().or(theirs),
        }
    }
}

/// Numbers the steps of time.
///
/// They begin at whole tenths of a second since 1970, so that the steps of several clients begin
/// together, and can be added up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepClock {
    /// The number of the step in which the load started.
    first: u64,
    /// When that step began.
    began: Instant,
}

impl StepClock {
    /// Starts in this moment.
    pub(crate) fn start() -> StepClock {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        StepClock::new(since_1970, Instant::now())
    }

    fn new(since_1970: Duration, now: Instant) -> StepClock {
        let into_step = Duration::from_nanos((since_1970.as_nanos() % NANOS) as u64);
        StepClock {
            first: (since_1970.as_nanos() / NANOS) as u64,
            began: now.checked_sub(into_step).unwrap_or(now),
        }
    }

    /// The number of the first step.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// A step in which nothing has happened.
    pub(crate) fn nothing(&self, number: u64) -> StepRecord {
        let (latency, open, errors, reopened) = Default::default();
        StepRecord { number, ended: self.end(number), latency, open, errors, reopened }
    }

    /// The number of the step that this moment belongs to.
    pub(crate) fn number(&self, moment: Instant) -> u64 {
        let passed = moment.saturating_duration_since(self.began).as_nanos() / NANOS;
        self.first + passed as u64
    }

    /// When a step ends.
    pub(crate) fn end(&self, number: u64) -> Instant {
        let passed = u128::from(number - self.first + 1) * NANOS;
        self.began + Duration::from_nanos(passed as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_ends_where_the_next_begins() {
        let clock = StepClock::start();
        for number in [0, 1, 7, 10_000_000_000].map(|it| clock.first() + it) {
            let end = clock.end(number);
            assert_eq!(clock.number(end - Duration::from_nanos(1)), number);
            assert_eq!(clock.number(end), number + 1);
        }
    }

    #[test]
    fn steps_begin_at_whole_tenths_of_a_second() {
        let now = Instant::now();
        let clock = StepClock::new(Duration::from_millis(1_234_567), now);
        assert_eq!((clock.first(), clock.number(now)), (12_345, 12_345));
        assert_eq!(clock.end(12_345) - now, Duration::from_millis(33));
    }
}
