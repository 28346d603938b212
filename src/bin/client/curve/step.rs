//! A step of a sweep: a load at one rate.

use serde_json::{Map, Value, json};

use super::search::Verdict;
use crate::readable;
use crate::report::{Condition, Report};

/// A step of a sweep: a load at one rate.
#[derive(Debug)]
pub(crate) struct RateStep {
    /// Messages per second that were due.
    pub(crate) rate: u64,
    pub(crate) report: Report,
    pub(crate) verdict: Verdict,
    /// Why the verdict is not that the rate held; empty if it is.
    pub(crate) reasons: Vec<Reason>,
}

/// A reason for which a rate did not hold.
#[derive(Debug)]
pub(crate) struct Reason {
    /// For a table that has the figures as well.
    pub(crate) name: String,
    pub(crate) text: String,
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
        let mut add = |name: &str, text| reasons.push(Reason { name: name.to_owned(), text });
        if let Some(limit) = limit.filter(|limit| !limit.is_held_by(&report)) {
            let unknown = || "no message was answered".to_owned();
            add(limit.name(), limit.latency_in(&report).unwrap_or_else(unknown));
        }
        // In a short step the number of messages may be one less.
        let answered = report.messages as f64 + 1.0;
        if answered < KEPT_UP * due(rate, &report) {
            let rate = readable::number(report.rate());
            add("rate", format!("{rate} per second were answered"));
        }
        if !report.is_clean() {
            let errors = readable::counted(report.errors, "error", "errors");
            let wrong = readable::counted(report.mismatches, "mismatch", "mismatches");
            add("errors", format!("{errors}, {wrong}"));
        }
        let is_busy = client_share(&report).is_some_and(|share| share >= BUSY);
        let verdict = match reasons.is_empty() {
            true => Verdict::Held,
            false if is_busy && report.is_clean() => Verdict::ClientBusy,
            false => Verdict::Failed,
        };
        if verdict == Verdict::ClientBusy {
            let (name, text) = ("client busy".to_owned(), "the client was busy".to_owned());
            reasons.push(Reason { name, text });
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
            ("reasons", self.reasons.iter().map(|reason| reason.text.as_str()).collect()),
            ("client_busy", json!(self.client_share())),
        ];
        fields.extend(more.map(|(key, value)| (key.to_owned(), value)));
        Ok(fields)
    }
}

/// How many messages were due. Poisson arrivals keep the rate in the long run only.
fn due(rate: u64, report: &Report) -> f64 {
    let planned = report.plan.shape.duration_seconds.unwrap_or_default();
    match report.plan.shape.arrival.as_str() {
        "poisson" => (report.messages + report.unanswered + report.unsent) as f64,
        _ => rate as f64 * report.seconds.max(planned),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::{read, results};

    /// The step at a rate whose results are three replies in half a second, with some of them
    /// changed.
    fn step(rate: u64, limit: Option<&str>, busy: f64, change: &[(&str, u64)]) -> RateStep {
        let mut json = results(1);
        json["unsent"] = 0.into();
        change.iter().for_each(|&(key, value)| json[key] = value.into());
        let mut report = read(json).expect("results");
        report.client_busy = Some(busy);
        let limit = limit.map(|limit| Condition::parse_limit(limit).expect("a limit"));
        RateStep::new(rate, report, limit.as_ref())
    }

    #[test]
    fn a_rate_is_held_with_its_limit_and_its_messages_and_without_errors() {
        let verdict = |rate, limit, change: &[_]| step(rate, limit, 0.5, change).verdict;
        assert_eq!(verdict(6, None, &[]), Verdict::Held);
        assert_eq!(verdict(6, Some("max<6ms"), &[]), Verdict::Held);
        assert_eq!(verdict(6, Some("max<4ms"), &[]), Verdict::Failed);
        // One message may be missing, because a step is short.
        assert_eq!(
            (verdict(8, None, &[]), verdict(9, None, &[])),
            (Verdict::Held, Verdict::Failed)
        );
        for kind in ["errors", "mismatches"] {
            assert_eq!(verdict(6, None, &[(kind, 1)]), Verdict::Failed);
        }
    }

    #[test]
    fn a_step_that_fails_while_the_client_is_busy_says_nothing_of_the_server() {
        let verdict = |rate, limit, busy, change: &[_]| step(rate, limit, busy, change).verdict;
        assert_eq!(verdict(9, None, 0.95, &[]), Verdict::ClientBusy);
        assert_eq!(verdict(9, None, 0.85, &[]), Verdict::Failed);
        assert_eq!(verdict(6, Some("p99<1ms"), 0.95, &[]), Verdict::ClientBusy);
        assert_eq!(verdict(6, Some("p99<6ms"), 0.95, &[]), Verdict::Held);
        assert_eq!(verdict(9, None, 0.95, &[("errors", 1)]), Verdict::Failed);
    }

    #[test]
    fn the_reasons_name_each_figure() {
        let reasons = step(9, Some("p99<1ms"), 0.95, &[("unsent", 1)]).reasons;
        let latency = "p99 is 5.0012 ms without 1 unsent message";
        let reasons: Vec<_> = reasons.iter().map(|reason| reason.text.as_str()).collect();
        assert_eq!(reasons, [latency, "6.00 per second were answered", "the client was busy"]);
    }

    #[test]
    fn a_busy_client_is_recognised_by_its_cpu_time_where_no_waiting_is_counted() {
        let mut report = read(results(1)).expect("results");
        report.client_busy = None;
        // 0.2 s of one CPU in half a second, then in a fifth.
        assert_eq!(client_share(&report), Some(0.4));
        report.seconds = 0.2;
        assert_eq!(client_share(&report), Some(1.0));
        report.client_cpu = None;
        assert_eq!(client_share(&report), None);
    }
}
