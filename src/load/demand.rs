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
        let now = Demand::now()?;
        let passed = now.at.saturating_duration_since(self.at).as_secs_f64();
        let share = now.time.saturating_sub(self.time).as_secs_f64() / passed.max(1e-9);
        Some(share.min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_computes_wants_all_of_its_time_and_one_that_sleeps_none() {
        let Some(before) = Demand::now() else {
            return eprintln!("skipped: there is no /proc/thread-self/schedstat");
        };
        while before.at.elapsed() < Duration::from_millis(50) {}
        let share = before.share_since_then().expect("it is still there");
        assert!(share > 0.8, "{share}");
        let before = Demand::now().expect("it is still there");
        std::thread::sleep(Duration::from_millis(200));
        let share = before.share_since_then().expect("it is still there");
        assert!(share < 0.5, "{share}");
    }
}
