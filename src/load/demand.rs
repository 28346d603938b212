//! How much CPU time a thread wants.

use std::time::{Duration, Instant};

use crate::program::proc_file::numbers;

/// The CPU time that this thread has used or waited for, at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demand {
    time: Duration,
    at: Instant,
}

impl Demand {
    /// Reads it. `None` if the kernel does not count it.
    pub(crate) fn now() -> Option<Demand> {
        // Nanoseconds in which the thread ran, and in which it was ready to run.
        match numbers("/proc/thread-self/schedstat")[..] {
            [ran, waited, ..] if ran > 0 => {
                Some(Demand { time: Duration::from_nanos(ran + waited), at: Instant::now() })
            }
            _ => None,
        }
    }

    /// The share of the time since then in which this thread ran or waited for a CPU.
    pub(crate) fn share_since_then(&self) -> Option<f64> {
        Demand::now().map(|now| self.share_until(now))
    }

    fn share_until(&self, now: Demand) -> f64 {
        let passed = now.at.saturating_duration_since(self.at).as_secs_f64();
        let share = now.time.saturating_sub(self.time).as_secs_f64() / passed.max(1e-9);
        share.min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_of_the_time_that_has_passed_and_never_more_than_all_of_it() {
        let at = Instant::now();
        let demand = |time, passed| Demand {
            time: Duration::from_secs(time),
            at: at + Duration::from_secs(passed),
        };
        assert_eq!(demand(1, 0).share_until(demand(2, 4)), 0.25);
        assert_eq!(demand(1, 0).share_until(demand(7, 4)), 1.0);
    }

    #[test]
    fn a_thread_that_computes_wants_time_and_one_that_sleeps_wants_none() {
        // What a new thread has used is known once it has slept.
        std::thread::sleep(Duration::from_millis(1));
        let Some(before) = Demand::now() else {
            return eprintln!("skipped: there is no /proc/thread-self/schedstat");
        };
        let wanted_since = |before: Demand| Demand::now().expect("it is there").time - before.time;
        while wanted_since(before) < Duration::from_millis(20) {
            assert!(before.at.elapsed() < Duration::from_secs(20), "computing is not counted");
        }
        let (began, asleep) = (Instant::now(), Duration::from_millis(200));
        let before = Demand::now().expect("it is there");
        std::thread::sleep(asleep);
        let wanted = wanted_since(before);
        // What it computed before may be counted only now.
        let late = Duration::from_millis(10);
        assert!(began.elapsed() >= wanted + asleep - late, "{wanted:?}");
    }
}
