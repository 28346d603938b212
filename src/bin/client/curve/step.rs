//! A step of a sweep: a load at one rate.

use serde_json::{Map, Value, json};

use super::search::Verdict;
use crate::report::{Condition, Report};

/// A step of a sweep: a load at one rate.
#[derive(Debug)]
pub(crate) struct RateStep {
    /// Messages per second that were due.
    pub(crate) rate: u64,
    pub(crate) report: Report,
    pub(crate) verdict: Verdict,
    /// Why the verdict is not that the rate held; empty if it is.
    pub(crate) reasons: Vec<String>,
}

/// The share of a rate that a server must answer to keep up with it.
const KEPT_UP: f64 = 0.98;
/// The share of time beyond which a client's thread that is busy is the bottleneck.
const BUSY: f64 = 0.9;
/// Keys of a load's results that are the same in all steps, or mean little in one.
const LEFT_OUT: [&str; 8] =
    ["rate", "loop", "clients", "plan", "timeline", "environment", "environments", "interrupted"];

impl RateStep {
    /// Judges the results of a load at this rate.
    pub(crate) fn new(rate: u64, report: Report, limit: Option<&Condition>) -> RateStep {
        let mut reasons = Vec::new();
        if let Some(limit) = limit.filter(|limit| !limit.is_held_by(&report)) {
            let unknown = || "no message was answered".to_owned();
            reasons.push(limit.latency_in(&report).unwrap_or_else(unknown));
        }
        // In a short step the number of messages may be one less.
        let answered = report.messages as f64 + 1.0;
        if answered < KEPT_UP * rate as f64 * report.seconds {
            reasons.push(format!("{:.0} per second were answered", report.rate()));
        }
        let is_busy = client_share(&report).is_some_and(|share| share >= BUSY);
        let verdict = match () {
            () if reasons.is_empty() && report.is_clean() => Verdict::Held,
            () if is_busy && report.is_clean() => Verdict::ClientBusy,
            () => Verdict::Failed,
        };
        if verdict == Verdict::ClientBusy {
            reasons.push("the client was busy".to_owned());
        }
        if !report.is_clean() {
            reasons.push(format!("{} errors, {} mismatches", report.errors, report.mismatches));
        }
        RateStep { rate, report, verdict, reasons }
    }

    pub(crate) fn has_held(&self) -> bool {
        self.verdict == Verdict::Held
    }

    /// The share of time in which the client's busiest thread ran or waited for a CPU, if known.
    pub(crate) fn client_share(&self) -> Option<f64> {
        client_share(&self.report)
    }

    /// An object of `steps` in the JSON.
    pub(crate) fn to_json(&self, percentiles: &[f64]) -> anyhow::Result<Map<String, Value>> {
        let json = self.report.to_json(percentiles)?;
        let Value::Object(mut fields) = json else { unreachable!("a report is an object") };
        fields.retain(|key, _| !LEFT_OUT.contains(&key.as_str()));
        let more = [
            ("rate", json!(self.rate)),
            ("achieved_rate", json!(self.report.rate())),
            ("held", json!(self.has_held())),
            ("reasons", json!(self.reasons)),
            ("client_busy", json!(self.client_share())),
        ];
        fields.extend(more.map(|(key, value)| (key.to_owned(), value)));
        Ok(fields)
    }
}

/// Where the kernel does not count how long threads wait, it is the client's CPU time.
fn client_share(report: &Report) -> Option<f64> {
    let by_cpu = || {
        let seconds = report.seconds * report.plan.threads as f64;
        Some((report.client_cpu?.total() / seconds.max(1e-9)).min(1.0))
    };
    report.client_busy.or_else(by_cpu)
}
