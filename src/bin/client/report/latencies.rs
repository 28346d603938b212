//! The latencies of the replies of one step of time.

use hdrhistogram::Histogram;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::distribution::{decode, encode, microseconds, percentile};

/// The latencies of the replies of one step of time.
///
/// It is as a [`Distribution`](super::Distribution), but with two significant digits instead of
/// three: there are hundreds of them in a report. A figure is at most 1 % higher than the latency
/// that it stands for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies(
    /// `None` without replies.
    Option<Histogram<u64>>,
);

const SIGNIFICANT_DIGITS: u8 = 2;

impl Latencies {
    /// Those of a histogram with three digits, each of whose buckets is within one of these.
    pub(crate) fn of(all: Option<&Histogram<u64>>) -> Latencies {
        Latencies(all.map(|all| {
            let mut ours = Histogram::new(SIGNIFICANT_DIGITS).expect("the digits are valid");
            for it in all.iter_recorded() {
                let grown = ours.record_n(it.value_iterated_to(), it.count_at_value());
                grown.expect("it grows automatically");
            }
            ours
        }))
    }

    pub(crate) fn add(&mut self, other: &Latencies) {
        match (&mut self.0, &other.0) {
            (Some(ours), Some(theirs)) => {
                // Those read from a file do not grow unless they are told to.
                ours.auto(true);
                *ours += theirs;
            }
            (ours, theirs) => *ours = ours.take().or(theirs.clone()),
        }
    }

    /// How many replies it counts.
    pub(crate) fn len(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// The latency in microseconds that this percentage of messages did not exceed.
    pub(crate) fn percentile(&self, percentage: f64) -> Option<f64> {
        self.0.as_ref().map(|it| percentile(it, percentage))
    }

    pub(crate) fn max(&self) -> Option<f64> {
        self.0.as_ref().map(|it| microseconds(it.max()))
    }

    /// Latencies in microseconds, and how many replies had each.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (f64, u64)> {
        let recorded = self.0.iter().flat_map(Histogram::iter_recorded);
        recorded.map(|it| (microseconds(it.value_iterated_to()), it.count_at_value()))
    }
}

/// Latencies as they are stored: HdrHistogram's V2 encoding in base64, or nothing without replies.
/// It needs a tenth of the memory, of which a long run has hundreds.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct PackedLatencies(String);

impl PackedLatencies {
    pub(crate) fn of(latencies: &Latencies) -> PackedLatencies {
        let text = latencies.0.as_ref().map(|it| encode(it).expect("memory has room for it"));
        PackedLatencies(text.unwrap_or_default())
    }

    pub(crate) fn unpack(&self) -> Latencies {
        // A text that is not empty was encoded here, or was decoded when it was read.
        Latencies(decode(&self.0, SIGNIFICANT_DIGITS).ok())
    }

    pub(crate) fn add(&mut self, other: &PackedLatencies) {
        match (self.0.is_empty(), other.0.is_empty()) {
            (_, true) => {}
            (true, false) => self.0.clone_from(&other.0),
            (false, false) => {
                let mut sum = self.unpack();
                sum.add(&other.unpack());
                *self = PackedLatencies::of(&sum);
            }
        }
    }
}

impl<'de> Deserialize<'de> for PackedLatencies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PackedLatencies, D::Error> {
        let text = String::deserialize(deserializer)?;
        let histogram = (!text.is_empty()).then(|| decode(&text, SIGNIFICANT_DIGITS));
        let histogram = histogram.transpose().map_err(D::Error::custom)?;
        Ok(PackedLatencies::of(&Latencies(histogram.filter(|it| !it.is_empty()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Distribution;

    #[test]
    fn figures_are_at_most_one_percent_higher_than_those_of_all_digits() {
        let all = |latencies: &mut dyn Iterator<Item = u64>| {
            let mut all = Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("a histogram");
            latencies.for_each(|it| all.record(it).expect("it fits"));
            all
        };
        let mut low = all(&mut (0..300).map(|it| 20_000 + 977 * it));
        let high = all(&mut (0..20).map(|it| 160_000_000 + 1_234_567 * it));
        let mut latencies = Latencies::of(Some(&low));
        latencies.add(&Latencies::of(Some(&high)));
        low += high;
        let (exact, count) = (Distribution(low), latencies.len());
        assert_eq!(count, exact.len());
        let near = |figure: f64, exact: f64| {
            assert!((exact..=1.01 * exact).contains(&figure), "{figure} for {exact}");
        };
        for percentile in [0.0, 50.0, 90.0, 99.0] {
            let figure = latencies.percentile(percentile).expect("a figure");
            near(figure, exact.percentile(percentile));
        }
        near(latencies.max().expect("a figure"), exact.max());
        assert_eq!(latencies.counts().map(|it| it.1).sum::<u64>(), count);
    }
}
