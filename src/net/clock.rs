//! Time as one thread counts it.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// How many milliseconds a [`Stamp`] counts as one.
pub(crate) const STEP: u64 = 8;

/// A point in time, in milliseconds since the thread's clock was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Tick(pub(crate) u64);

impl Tick {
    /// This point, and `time` later; rounded up.
    pub(crate) fn after(self, time: Duration) -> Tick {
        let milliseconds = u64::try_from(time.as_nanos().div_ceil(1_000_000));
        Tick(self.0.saturating_add(milliseconds.unwrap_or(u64::MAX)))
    }

    /// The time from this point to a later one.
    pub(crate) fn until(self, later: Tick) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }

    /// The same point in four bytes. It is rounded up, so that no time is over too early.
    pub(crate) fn stamp(self) -> Stamp {
        Stamp(NonZeroU32::new(self.0.div_ceil(STEP) as u32).unwrap_or(NonZeroU32::MIN))
    }
}

/// A point in time in four bytes, because every connection keeps two. It counts in steps
/// of [`STEP`] milliseconds, and compares correctly within half a year of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(NonZeroU32);

impl Stamp {
    /// Returns whether this point comes before the other.
    pub(crate) fn is_before(self, other: Stamp) -> bool {
        (self.0.get().wrapping_sub(other.0.get()) as i32) < 0
    }

    /// How long ago it was, rounded down.
    pub(crate) fn age(self, now: Tick) -> Duration {
        let steps = ((now.0 / STEP) as u32).wrapping_sub(self.0.get()) as i32;
        Duration::from_millis(u64::try_from(steps).unwrap_or(0) * STEP)
    }
}

/// The clock of one thread. It is read only while something is timed.
#[derive(Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock(now())
    }

    pub(crate) fn now(&self) -> Tick {
        self.at(now())
    }

    /// That instant, by this clock.
    pub(crate) fn at(&self, instant: Instant) -> Tick {
        Tick(instant.saturating_duration_since(self.0).as_millis() as u64)
    }
}

/// The monotonic time, which a test can script.
#[cfg(not(test))]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
pub(crate) use scripted::now;

/// Time that a test advances itself, on its own thread.
#[cfg(test)]
pub(crate) mod scripted {
    use std::cell::Cell;
    use std::time::{Duration, Instant};

    thread_local!(static NOW: Cell<Option<Instant>> = const { Cell::new(None) });

    /// Advances the time of this thread, which from now on advances by this alone.
    pub(crate) fn advance(time: Duration) {
        NOW.set(Some(now() + time));
    }

    pub(crate) fn now() -> Instant {
        NOW.get().unwrap_or_else(Instant::now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
