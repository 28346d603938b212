//! When messages arrive in an open loop.

use std::sync::LazyLock;

use crate::load::random::{draw, exponential};

/// How the messages of an open loop are spread over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
pub enum Arrival {
    /// One follows another after the same time.
    Uniform,
    /// As if many users sent them independently: the times between messages are distributed
    /// exponentially.
    Poisson,
}

/// How many messages [`TIMES`] has. It is a power of two, so that an `f64` is divided by it
/// exactly.
const COUNT: f64 = 16_384.0;
/// Chooses the times between messages.
const GAPS: u64 = 0x6a95_0000_0000_0000;

/// When the first messages of Poisson arrivals are due, in mean times between messages. Those
/// after them repeat the table, which therefore ends exactly when a uniform one would: the rate
/// holds.
static TIMES: LazyLock<Box<[f64]>> = LazyLock::new(|| {
    let gaps: Vec<_> = (0..COUNT as u64).map(|it| exponential(draw(GAPS, 0, it))).collect();
    let scale = COUNT / gaps.iter().sum::<f64>();
    let times = gaps.iter().scan(0.0, |next, gap| {
        let time = *next;
        *next += scale * gap;
        Some(time)
    });
    times.collect()
});

impl Arrival {
    /// How many messages are skipped with this seed.
    pub(crate) fn skipped(self, seed: u32) -> f64 {
        match self {
            Arrival::Uniform => 0.0,
            Arrival::Poisson => f64::from(seed) % COUNT,
        }
    }

    /// When this message is due, in mean times between messages. The first one is due at 0.
    pub(crate) fn time(self, message: f64) -> f64 {
        match self {
            Arrival::Uniform => message,
            Arrival::Poisson => {
                let first = (message / COUNT).floor() * COUNT;
                first + TIMES[(message - first) as usize]
            }
        }
    }

    /// The last message that is due by this time.
    pub(crate) fn last_by(self, time: f64) -> f64 {
        match self {
            Arrival::Uniform => time.floor(),
            Arrival::Poisson => {
                let first = (time / COUNT).floor() * COUNT;
                first + TIMES.partition_point(|it| first + it <= time) as f64 - 1.0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times() -> impl Iterator<Item = f64> {
        (0..3 * COUNT as u64).map(|message| Arrival::Poisson.time(message as f64))
    }

    /// In a Poisson process the number of messages in a time varies as much as it is large.
    #[test]
    fn poisson_arrivals_vary_as_those_of_a_poisson_process() {
        for window in [1.0, 5.0, 25.0, 100.0] {
            let windows = (COUNT / window) as usize;
            let mut counts = vec![0_u32; windows + 1];
            times().take(COUNT as usize).for_each(|time| counts[(time / window) as usize] += 1);
            let mean = COUNT / windows as f64;
            let spread = |&count: &u32| (f64::from(count) - mean).powi(2);
            let variance = counts[..windows].iter().map(spread).sum::<f64>() / windows as f64;
            // Four standard deviations of an estimate from so many windows.
            let tolerance = 4.0 * (2.0 / windows as f64).sqrt();
            let dispersion = variance / mean;
            assert!((dispersion - 1.0).abs() < tolerance, "{dispersion} in windows of {window}");
        }
    }

    #[test]
    fn poisson_arrivals_keep_the_rate() {
        let mut most = 0.0_f64;
        for (message, time) in times().enumerate() {
            most = most.max((time - message as f64).abs());
        }
        // Four standard deviations half-way between two points where it is exact.
        assert!(most < 2.0 * COUNT.sqrt(), "{most}");
        for round in 0..3 {
            assert_eq!(Arrival::Poisson.time(f64::from(round) * COUNT), f64::from(round) * COUNT);
        }
        // A sum that is not that of the table would all be in the last gap before it repeats.
        let last = COUNT - Arrival::Poisson.time(COUNT - 1.0);
        assert!((0.0..12.0).contains(&last), "{last}");
    }

    #[test]
    fn the_last_message_by_a_time_is_the_inverse_of_the_time_of_a_message() {
        for (message, time) in times().enumerate() {
            assert_eq!(Arrival::Poisson.last_by(time), message as f64);
            assert_eq!(Arrival::Poisson.last_by(time - 1e-9), message as f64 - 1.0);
        }
        assert!(times().is_sorted());
    }
}
