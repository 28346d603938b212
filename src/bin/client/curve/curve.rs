//! The results of a sweep.

use serde_json::{Value, json};

use super::search::{Finding, Next, Try, next};
use super::step::RateStep;
use crate::readable::{count, counted};
use crate::report::{Condition, Environment, Report, text as report_text};

/// The results of a sweep.
#[derive(Debug)]
pub(crate) struct Curve {
    /// The limit that was searched for, if it was.
    pub(crate) limit: Option<Condition>,
    /// What the search has found, if there was one and it came to its end.
    pub(crate) finding: Option<Finding>,
    /// In the order in which they were run.
    pub(crate) steps: Vec<RateStep>,
    /// The results of the last load, which is no step if a signal ended it.
    pub(crate) last: Report,
    /// Whether a signal ended the sweep.
    pub(crate) interrupted: bool,
}

/// Returns whether a sweep ends with these results, because no reply was counted. In a search they
/// are a rate that failed like another if the server was slow, and no more.
pub(crate) fn ends_with(last: &Report, is_search: bool) -> bool {
    let is_slow = last.is_clean() && !had_nothing_due(last);
    last.messages == 0 && !(is_search && is_slow)
}

/// Returns whether no message was due while messages counted.
fn had_nothing_due(report: &Report) -> bool {
    report.is_empty() && report.unsent + report.unanswered == 0
}

impl Curve {
    pub(crate) fn new(
        limit: Option<&Condition>,
        steps: Vec<RateStep>,
        last: Report,
        interrupted: bool,
    ) -> Curve {
        let finding = limit.and_then(|_| match next(&Curve::tries(&steps)) {
            Next::Try(_) => None,
            Next::End(finding) => Some(finding),
        });
        Curve { limit: limit.cloned(), finding, steps, last, interrupted }
    }

    /// The steps so far, as a search takes them.
    pub(crate) fn tries(steps: &[RateStep]) -> Vec<Try> {
        steps.iter().map(|step| (step.rate, step.verdict)).collect()
    }

    /// The rate that was found.
    pub(crate) fn limit_rate(&self) -> Option<u64> {
        match self.finding {
            Some(Finding::Limit { held, .. }) => Some(held),
            _ => None,
        }
    }

    /// The steps that a `--fail-if` condition concerns: all, or those at the rate that was found.
    pub(crate) fn results(&self) -> impl Iterator<Item = &RateStep> {
        let rate = self.limit_rate();
        let is_result = move |step: &&RateStep| match self.limit {
            Some(_) => Some(step.rate) == rate && step.has_held(),
            None => true,
        };
        self.steps.iter().filter(is_result)
    }

    /// Whether every reply of every step was verified.
    pub(crate) fn is_clean(&self) -> bool {
        self.last.is_clean() && self.steps.iter().all(|step| step.report.is_clean())
    }

    /// The environment of the first load.
    pub(crate) fn environment(&self) -> &Environment {
        &self.steps.first().map_or(&self.last, |step| &step.report).environment
    }

    /// What a search has found, in words.
    pub(crate) fn outcome(&self) -> String {
        let (Some(limit), steps) = (&self.limit, self.steps.len()) else {
            return String::new();
        };
        match self.finding {
            Some(Finding::Limit { held, failed: Some(failed) }) => format!(
                "{} per second hold {limit} twice in a row, and {} do not; found in {}",
                count(held),
                count(failed),
                counted(steps as u64, "step", "steps")
            ),
            Some(Finding::Limit { held, failed: None }) => {
                format!("{} per second, the highest possible rate, hold {limit}", count(held))
            }
            Some(Finding::ClientLimit { held, busy }) => format!(
                "not found: {} per second hold {limit}, and at {} the client is the bottleneck; \
                 give it more --threads, or CPUs of its own",
                count(held),
                count(busy)
            ),
            Some(Finding::NoRate) => format!("not found: not even 1 per second holds {limit}"),
            Some(Finding::Unsettled) => format!(
                "not found: in {steps} steps the same rates held {limit} and did not; longer \
                 steps (--duration) or a quieter machine may help"
            ),
            None if self.interrupted => {
                format!("not found: the sweep was interrupted in step {}", count(steps as u64 + 1))
            }
            None => format!("not found: {}", self.why_nothing()),
        }
    }

    /// Why there are no results, or not those that were asked for. Of a sweep that a signal ended
    /// there is nothing to say.
    pub(crate) fn failure(&self) -> Option<String> {
        if self.interrupted {
            return None;
        }
        if self.limit.is_some() && self.limit_rate().is_none() {
            return Some(format!("the limit was {}", self.outcome()));
        }
        (self.last.messages == 0).then(|| format!("the sweep ended: {}", self.why_nothing()))
    }

    /// Why the last step has no reply: the server sent none, or the step was too short for its
    /// rate.
    fn why_nothing(&self) -> String {
        let (last, rate) = (&self.last, self.steps.last().map_or(0, |step| step.rate));
        let at = format!("at {} per second", count(rate));
        if !had_nothing_due(last) {
            return format!("{at} {}", report_text::no_reply(last));
        }
        let duration = last.plan.shape.duration_seconds.unwrap_or_default();
        let held = match self.limit.as_ref().filter(|_| self.steps.len() > 1) {
            Some(limit) => format!("none of the rates above holds {limit}, and "),
            None => String::new(),
        };
        format!("{held}{at} no message is due within {duration} s; give a longer --duration")
    }

    /// The JSON. With a limit it has the rate found.
    ///
    /// # Errors
    /// A histogram cannot be encoded.
    pub(crate) fn to_json(&self, percentiles: &[f64]) -> anyhow::Result<Value> {
        let steps = self.steps.iter().map(|step| step.to_json(percentiles));
        let steps: Vec<_> = steps.collect::<anyhow::Result<_>>()?;
        let mut plan = json!(self.last.plan);
        plan["rate"] = Value::Null;
        let mut json = json!({
            "steps": steps,
            "interrupted": self.interrupted,
            "plan": plan,
            "environment": self.environment(),
        });
        if let Some(limit) = &self.limit {
            let (held, failed) = self.bracket();
            json["limit"] = json!(limit.to_string());
            json["limit_rate"] = json!(self.limit_rate());
            json["bracket"] = json!({ "held": held, "failed": failed });
            json["outcome"] = json!(self.outcome());
        }
        Ok(json)
    }

    /// The highest rate that holds the limit, and the lowest that does not, as far as known.
    fn bracket(&self) -> (Option<u64>, Option<u64>) {
        match self.finding {
            Some(Finding::Limit { held, failed }) => (Some(held), failed),
            Some(Finding::ClientLimit { held, .. }) => (Some(held), None),
            Some(Finding::NoRate) => (None, Some(1)),
            Some(Finding::Unsettled) | None => (None, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::{read, results};

    #[test]
    fn a_slow_server_ends_no_search_and_one_that_is_gone_does() {
        let report = |messages, errors, unsent| {
            let mut report = read(results(1)).expect("results");
            (report.messages, report.errors, report.unsent) = (messages, errors, unsent);
            report.unanswered = 0;
            report
        };
        assert!(!ends_with(&report(0, 0, 5), true) && ends_with(&report(0, 0, 5), false));
        assert!(!ends_with(&report(3, 1, 5), true) && !ends_with(&report(3, 1, 5), false));
        for is_search in [true, false] {
            assert!(ends_with(&report(0, 1, 5), is_search), "it is gone");
            assert!(ends_with(&report(0, 0, 0), is_search), "nothing was due");
        }
    }
}
