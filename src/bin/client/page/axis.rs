//! The axes of charts: their ranges and labels.

use std::ops::Range;

/// The axis of a chart.
#[derive(Debug)]
pub(crate) struct Axis {
    pub(crate) range: Range<f64>,
    /// The position and text of each label.
    pub(crate) labels: Vec<(f64, String)>,
    pub(crate) title: String,
}

/// Units of time: the shortest time they are used for, their length in seconds, their name.
const UNITS: [(f64, f64, &str); 4] = [
    (3.0 * 3600.0, 3600.0, "hours"),
    (300.0, 60.0, "minutes"),
    (1.0, 1.0, "seconds"),
    (0.0, 0.001, "milliseconds"),
];
/// About how many labels a linear axis has: more would touch on a narrow screen.
const LABELS: f64 = 7.0;
/// The lowest latency that is drawn, in microseconds: a logarithmic axis cannot start at 0.
pub(crate) const LEAST: f64 = 0.001;

impl Axis {
    /// Percentiles by their number of nines, up to the slowest of this many messages. A long
    /// axis has a label at every second one.
    pub(crate) fn percentiles(messages: u64) -> Axis {
        let end = position(messages).max(1.0);
        let is_long = end >= 7.0;
        let mut labels: Vec<_> = (0..=end as usize)
            .filter(|count| !is_long || *count == 0 || count % 2 == 1)
            .map(|count| (count as f64, nines(count)))
            .collect();
        if !is_long {
            labels.insert(1, (2.0_f64.log10(), "50".to_owned()));
        }
        Axis { range: 0.0..end, labels, title: "percentile of messages".to_owned() }
    }

    /// Logarithms of microseconds, from the label below the least to the label above the most.
    pub(crate) fn latency(least: f64, most: f64) -> Axis {
        let (least, most) = (least.max(LEAST) / 1.05, most.max(LEAST) * 1.05);
        let ticks = ticks_of_decades();
        let from = ticks.iter().rposition(|&tick| tick <= least).unwrap_or(0);
        let to = ticks.iter().position(|&tick| tick >= most).unwrap_or(ticks.len() - 1);
        // Every third is a power of ten. More labels would touch on a narrow screen.
        let every = if to - from > 8 { 3 } else { 1 };
        let labels = (from..=to).filter(|index| index % every == 0);
        let label = |index: usize| (ticks[index].log10(), duration(ticks[index]));
        let range = ticks[from].log10()..ticks[to].log10();
        Axis { range, labels: labels.map(label).collect(), title: String::new() }
    }

    /// Time from an event to this many seconds later.
    pub(crate) fn time(seconds: f64, event: &str) -> Axis {
        let &(_, each, name) =
            UNITS.iter().find(|unit| seconds >= unit.0).unwrap_or(&UNITS[UNITS.len() - 1]);
        let end = seconds.max(LEAST);
        let step = round_step(end / each / LABELS);
        let labels = ticks(step, end / each).map(|tick| (tick * each, plain(tick))).collect();
        Axis { range: 0.0..end, labels, title: format!("{name} since {event}") }
    }

    /// A count, from 0 to a little above the most.
    pub(crate) fn count(most: f64) -> Axis {
        // So that the line does not run along the edge.
        let end = 1.1 * most.max(1.0);
        let step = round_step(end / LABELS).max(1.0);
        let labels = ticks(step, end).map(|tick| (tick, amount(tick))).collect();
        Axis { range: 0.0..end, labels, title: String::new() }
    }
}

/// The position of the slowest of this many messages on an axis of percentiles: 1 for ten
/// messages, 2 for a hundred.
pub(crate) fn position(messages: u64) -> f64 {
    (messages.max(1) as f64).log10()
}

/// The percentile at a position.
pub(crate) fn percentile(position: f64) -> f64 {
    100.0 * (1.0 - 10.0_f64.powf(-position))
}

/// The percentile with this many nines.
pub(crate) fn nines(count: usize) -> String {
    match count {
        0 => "0".to_owned(),
        1 => "90".to_owned(),
        2 => "99".to_owned(),
        count => format!("99.{}", "9".repeat(count - 2)),
    }
}

/// The percentiles that are labelled on an axis, and others.
pub(crate) fn percentiles(messages: u64, others: &[f64]) -> Vec<f64> {
    let nines = (0..=position(messages) as usize).filter_map(|count| nines(count).parse().ok());
    let mut all: Vec<f64> = nines.chain([50.0]).chain(others.iter().copied()).collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    all
}

/// 1, 2 and 5 of every power of ten, from a nanosecond to three hours.
fn ticks_of_decades() -> Vec<f64> {
    let decade = |power: i32| [1, 2, 5].map(|digit| format!("{digit}e{power}"));
    // Parsed from text, because powers of ten are seldom exact.
    (-3..=10).flat_map(decade).filter_map(|text| text.parse().ok()).collect()
}

/// Rounds up to 1, 2 or 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10.0_f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|digit| digit * power)
        .into_iter()
        .find(|&it| it >= step)
        .unwrap_or(10.0 * power)
}

fn ticks(step: f64, end: f64) -> impl Iterator<Item = f64> {
    (0..).map(move |index| f64::from(index) * step).take_while(move |&tick| tick <= end)
}

/// Microseconds, in the unit that suits them best.
fn duration(microseconds: f64) -> String {
    match microseconds {
        it if it < 1e3 => format!("{} us", plain(it)),
        it if it < 1e6 => format!("{} ms", plain(it / 1e3)),
        it => format!("{} s", plain(it / 1e6)),
    }
}

fn amount(amount: f64) -> String {
    match amount {
        it if it < 1e3 => plain(it),
        it if it < 1e6 => format!("{}k", plain(it / 1e3)),
        it => format!("{}M", plain(it / 1e6)),
    }
}

/// A number without the digits that are an artefact of binary fractions.
fn plain(number: f64) -> String {
    format!("{}", (number * 1e6).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.labels.iter().map(|label| label.1.as_str()).collect()
    }

    #[test]
    fn percentiles_reach_to_the_slowest_message() {
        assert_eq!(labels(&Axis::percentiles(0)), ["0", "50", "90"]);
        assert_eq!(labels(&Axis::percentiles(9_999)), ["0", "50", "90", "99", "99.9"]);
        assert_eq!(labels(&Axis::percentiles(10_000)).last(), Some(&"99.99"));
    }

    #[test]
    fn latencies_have_a_unit_and_a_range_even_if_all_are_equal() {
        assert_eq!(labels(&Axis::latency(100.0, 100.0)), ["50 us", "100 us", "200 us"]);
        assert_eq!(labels(&Axis::latency(600.0, 1900.0)), ["500 us", "1 ms", "2 ms"]);
        assert_eq!(labels(&Axis::latency(11.0, 9e3)), ["10 us", "100 us", "1 ms", "10 ms"]);
        let wide = Axis::latency(8.0, 3e6);
        assert_eq!(labels(&wide), ["10 us", "100 us", "1 ms", "10 ms", "100 ms", "1 s"]);
        assert!(wide.range.start <= 8.0_f64.log10() && wide.range.end >= 3e6_f64.log10());
        assert!(!Axis::latency(0.0, 0.0).range.is_empty());
    }

    #[test]
    fn times_and_counts_have_round_labels() {
        assert_eq!(labels(&Axis::time(5.3, "it")), ["0", "1", "2", "3", "4", "5"]);
        assert_eq!(labels(&Axis::time(0.05, "it")), ["0", "10", "20", "30", "40", "50"]);
        assert_eq!(Axis::time(600.0, "the start").title, "minutes since the start");
        assert_eq!(labels(&Axis::count(0.0)), ["0", "1"]);
        assert_eq!(labels(&Axis::count(9e4)), ["0", "20k", "40k", "60k", "80k"]);
        assert!(Axis::count(u64::MAX as f64).labels.len() < 9);
    }
}
