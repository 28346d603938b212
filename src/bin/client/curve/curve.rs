//! The results of a sweep.

use serde_json::{Value, json};

use super::search::{Finding, Next, Try, next};
use super::step::RateStep;
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
                "{held} per second hold {limit} twice in a row, and {failed} do not; found in \
                 {steps} steps"
            ),
            Some(Finding::Limit { held, failed: None }) => {
                format!("{held} per second, the highest possible rate, hold {limit}")
            }
            Some(Finding::ClientLimit { held, busy }) => format!(
                "not found: {held} per second hold {limit}, and at {busy} the client is \
                 the bottleneck; give it more --threads, or CPUs of its own"
            ),
            Some(Finding::NoRate) => format!("not found: not even 1 per second holds {limit}"),
            Some(Finding::Unsettled) => format!(
                "not found: in {steps} steps the same rates held {limit} and did not; longer \
                 steps (--duration) or a quieter machine may help"
            ),
            None => "not found: the sweep ended before".to_owned(),
        }
    }

    /// Why there are no results, or not those that were asked for. Of a sweep that a signal ended
    /// there is nothing to say.
    pub(crate) fn failure(&self) -> Option<String> {
        if self.interrupted {
            return None;
        }
        if self.last.messages == 0 {
            let rate = self.steps.last().map_or(0, |step| step.rate);
            let reason = report_text::no_reply(&self.last);
            return Some(format!("the sweep ended at {rate} per second: {reason}"));
        }
        let is_missing = self.limit.is_some() && self.limit_rate().is_none();
        is_missing.then(|| format!("the limit was {}", self.outcome()))
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
