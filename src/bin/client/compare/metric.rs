//! What servers are compared by.

use crate::readable;
use crate::report::Report;

/// What servers are compared by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Metric {
    /// Messages per second.
    Rate,
    /// A percentile of latency, in microseconds.
    Percentile(f64),
    /// The server's CPU time per message, in microseconds.
    Cpu,
}

impl Metric {
    /// All metrics, in the order in which they are shown.
    pub(crate) fn all(percentiles: &[f64]) -> Vec<Metric> {
        let percentiles = percentiles.iter().map(|&it| Metric::Percentile(it));
        [Metric::Rate].into_iter().chain(percentiles).chain([Metric::Cpu]).collect()
    }

    /// Its value in the results of a run, if they have it. It is more than 0.
    pub(crate) fn of(self, report: &Report) -> Option<f64> {
        if report.messages == 0 {
            return None;
        }
        let value = match self {
            Metric::Rate => report.rate(),
            Metric::Percentile(percentile) => report.histogram.percentile(percentile),
            Metric::Cpu => report.server_cost()?.cpu().per_message(report.messages).total(),
        };
        // In a short run, the CPU time may be read when the run is over.
        (value > 0.0).then_some(value)
    }

    /// Its name in text.
    pub(crate) fn name(self) -> String {
        match self {
            Metric::Rate => "rate".to_owned(),
            Metric::Percentile(percentile) => format!("p{percentile}"),
            Metric::Cpu => "CPU per message".to_owned(),
        }
    }

    /// Its name in JSON, with its unit.
    pub(crate) fn key(self) -> String {
        match self {
            Metric::Rate => "rate".to_owned(),
            Metric::Percentile(it) => format!("p{it}_us").replace('.', "_"),
            Metric::Cpu => "cpu_us_per_message".to_owned(),
        }
    }

    /// A value with its unit.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Metric::Rate => format!("{}/s", readable::number(value)),
            Metric::Percentile(_) | Metric::Cpu => readable::micros(value),
        }
    }
}
