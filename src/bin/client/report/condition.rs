//! `--fail-if` and `--limit`: conditions on the results.

use std::fmt;

use reactor_server::program::units;

use super::report::Report;
use crate::readable;

/// A condition that results may meet: `p99>5ms`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    text: String,
    figure: Figure,
    comparison: Comparison,
    /// In the unit of the figure, which for a time is microseconds.
    limit: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Figure {
    Percentile(f64),
    Max,
    Mean,
    Rate,
    Messages,
    Errors,
    Mismatches,
    Opened,
    Failed,
    Unsent,
    NotClosed,
    Reconnects,
    OutageMax,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Comparison {
    More,
    AtLeast,
    Less,
    AtMost,
}

/// Those of two characters come first, because the others are their prefixes.
const COMPARISONS: [(&str, Comparison); 4] = [
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    (">", Comparison::More),
    ("<", Comparison::Less),
];

impl Condition {
    /// # Errors
    /// A sentence that says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Condition, String> {
        let (at, sign, comparison) = COMPARISONS
            .iter()
            .find_map(|&(sign, comparison)| Some((text.find(sign)?, sign, comparison)))
            .ok_or("expected a comparison, such as p99>5ms or rate<100k")?;
        let figure = Figure::parse(text[..at].trim())?;
        let limit = text[at + sign.len()..].trim();
        let limit = if figure.is_time() { microseconds(limit) } else { number(limit) }?;
        Ok(Condition { text: text.to_owned(), figure, comparison, limit })
    }

    /// Parses an upper limit of latency: `p99<1ms`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(crate) fn parse_limit(text: &str) -> Result<Condition, String> {
        let condition = Condition::parse(text)?;
        let is_upper = matches!(condition.comparison, Comparison::Less | Comparison::AtMost);
        match condition.figure {
            Figure::Percentile(_) | Figure::Max if is_upper && condition.limit == 0.0 => {
                Err("no latency is 0: expected more, such as p99<1ms".to_owned())
            }
            Figure::Percentile(_) | Figure::Max if is_upper => Ok(condition),
            _ => {
                Err("expected an upper limit of a percentile or of max, such as p99<1ms".to_owned())
            }
        }
    }

    /// Returns whether these results hold the limit. A message that was not sent counts as slower
    /// than every reply. Without a reply, they do not hold it.
    pub(crate) fn is_held_by(&self, report: &Report) -> bool {
        let (answered, latency) = (report.messages as f64, &report.histogram);
        let due = answered + report.unsent as f64;
        let value = match self.figure {
            _ if latency.is_empty() => None,
            // The same rank among the replies alone.
            Figure::Percentile(percentile) => Some(percentile * due / answered)
                .filter(|&it| it <= 100.0)
                .map(|it| latency.percentile(it)),
            _ => self.figure.of(report).filter(|_| report.unsent == 0),
        };
        value.is_some_and(|value| self.comparison.is_met(value, self.limit))
    }

    /// The latency that it limits in these results, in microseconds.
    pub(crate) fn latency_of(&self, report: &Report) -> Option<f64> {
        self.figure.of(report).filter(|_| self.figure.is_latency())
    }

    /// That latency with its name, such as `p99 is 812.5 us`.
    pub(crate) fn latency_in(&self, report: &Report) -> Option<String> {
        let latency = self.latency_of(report)?;
        let unsent = match report.unsent {
            0 => String::new(),
            unsent => {
                let count = readable::counted(unsent, "unsent message", "unsent messages");
                format!(" without {count}")
            }
        };
        let latency = readable::exact_micros(latency);
        Some(format!("{} is {latency}{unsent}", self.name()))
    }

    /// The name of its figure.
    pub(crate) fn name(&self) -> &str {
        self.text.split(['<', '>']).next().unwrap_or_default().trim()
    }

    /// What its figure is compared with; a latency is in microseconds.
    pub(crate) fn bound(&self) -> f64 {
        self.limit
    }

    /// A sentence with the value, if these results meet the condition.
    pub(crate) fn met_by(&self, report: &Report) -> Option<String> {
        let value = self.figure.of(report)?;
        let is_met = self.comparison.is_met(value, self.limit);
        let value = match self.figure {
            figure if figure.is_time() => readable::exact_micros(value),
            _ => readable::exact(value),
        };
        is_met.then(|| format!("--fail-if {self} came true: it is {value}"))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Comparison {
    fn is_met(self, value: f64, limit: f64) -> bool {
        match self {
            Comparison::More => value > limit,
            Comparison::AtLeast => value >= limit,
            Comparison::Less => value < limit,
            Comparison::AtMost => value <= limit,
        }
    }
}

impl Figure {
    fn parse(name: &str) -> Result<Figure, String> {
        Ok(match name {
            "max" => Figure::Max,
            "mean" => Figure::Mean,
            "rate" => Figure::Rate,
            "messages" => Figure::Messages,
            "errors" => Figure::Errors,
            "mismatches" => Figure::Mismatches,
            "opened" => Figure::Opened,
            "failed" => Figure::Failed,
            "unsent" => Figure::Unsent,
            "not_closed" => Figure::NotClosed,
            "reconnects" => Figure::Reconnects,
            "outage_max" => Figure::OutageMax,
            _ => match name.strip_prefix('p').map(units::percentile) {
                Some(Ok(percentile)) => Figure::Percentile(percentile),
                _ => return Err(format!("there is no figure {name:?}: try p99, max or rate")),
            },
        })
    }

    fn is_latency(self) -> bool {
        matches!(self, Figure::Percentile(_) | Figure::Max | Figure::Mean)
    }

    fn is_time(self) -> bool {
        self.is_latency() || self == Figure::OutageMax
    }

    /// Its value. Without replies there is no latency.
    fn of(self, report: &Report) -> Option<f64> {
        let latency = (!report.histogram.is_empty()).then_some(&report.histogram);
        match self {
            Figure::Percentile(percentile) => latency.map(|latency| latency.percentile(percentile)),
            Figure::Max => latency.map(|latency| latency.max()),
            Figure::Mean => latency.map(|latency| latency.mean()),
            Figure::Rate => Some(report.rate()),
            Figure::Messages => Some(report.messages as f64),
            Figure::Errors => Some(report.errors as f64),
            Figure::Mismatches => Some(report.mismatches as f64),
            Figure::Opened => Some(report.connections.opened as f64),
            Figure::Failed => Some(report.connections.failed as f64),
            Figure::Unsent => Some(report.unsent as f64),
            Figure::NotClosed => Some(report.not_closed as f64),
            Figure::Reconnects => Some(report.outages.reconnects as f64),
            Figure::OutageMax => Some(report.outages.max_seconds * 1e6),
        }
    }
}

/// A duration in microseconds.
fn microseconds(text: &str) -> Result<f64, String> {
    units::duration(text).map(|limit| limit.as_nanos() as f64 / 1000.0)
}

fn number(text: &str) -> Result<f64, String> {
    units::count(text).map(|count| count as f64)
}

#[cfg(test)]
mod tests {
    use super::super::sample::{read, results};
    use super::*;

    #[test]
    fn conditions_are_read_with_their_units() {
        let limit = |text| Condition::parse(text).expect("a condition").limit;
        assert_eq!(limit("p99>5ms"), 5000.0);
        assert_eq!(limit("p99.9 >= 1.5ms"), 1500.0);
        assert_eq!((limit("max<1s"), limit("mean<=20us")), (1e6, 20.0));
        assert_eq!((limit("p50>2ms200us"), limit("max>1m 30s")), (2200.0, 90e6));
        assert_eq!((limit("opened<1k"), limit("p0.5>0.25us")), (1000.0, 0.25));
        assert_eq!((limit("outage_max>1.5s"), limit("reconnects>=1k")), (1.5e6, 1000.0));
        assert_eq!((limit("rate<100k"), limit("errors>0")), (100_000.0, 0.0));
    }

    #[test]
    fn a_message_that_was_not_sent_is_slower_than_every_limit() {
        // Three replies took 0.9, 70 and 5000 us.
        let holds = |limit: &str, unsent: u64| {
            let mut json = results(1);
            json["unsent"] = unsent.into();
            Condition::parse_limit(limit).expect(limit).is_held_by(&read(json).expect("results"))
        };
        assert!(holds("max<6ms", 0) && !holds("max<6ms", 1));
        assert!(holds("p66<1ms", 0) && !holds("p67<1ms", 0) && holds("p67<=6ms", 0));
        // Of four messages, half is two.
        assert!(holds("p50<1ms", 1) && !holds("p51<1ms", 1) && holds("p75<6ms", 1));
        assert!(!holds("p76<1h", 1) && !holds("p1<1h", 1000));
    }

    #[test]
    fn a_limit_is_an_upper_one_of_a_percentile_or_of_max() {
        for text in ["p99<1ms", "p99.9 <= 20us", "max<1s"] {
            assert_eq!(Condition::parse_limit(text).expect(text).to_string(), text);
        }
        for text in ["p99>1ms", "max>=1s", "mean<1ms", "rate<1k", "errors<1", "p99<1", "p99"] {
            assert!(Condition::parse_limit(text).is_err(), "{text}");
        }
        for text in ["p99<0", "p99<=0us", "max<0ms"] {
            let error = Condition::parse_limit(text).expect_err(text);
            assert!(error.starts_with("no latency is 0"), "{text}: {error}");
        }
    }

    #[test]
    fn an_invalid_condition_is_refused() {
        let figures =
            ["", "p99", "p101>1ms", "p-0>1ms", "p1e1>1ms", "speed>1", ">1ms", "opened<1s"];
        let limits = [
            "p99>5",
            "p99>ms",
            "p99>1e3us",
            "p99>-1us",
            "p99>1M",
            "rate>5ms",
            "errors>-1",
            "outage_max>5",
        ];
        for text in figures.into_iter().chain(limits) {
            assert!(Condition::parse(text).is_err(), "{text}");
        }
    }
}
