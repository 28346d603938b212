//! The plan, as it is recorded in the results.

use clap::ValueEnum;
use reactor_server::Framing;
use reactor_server::load::{Close, OnError, Plan};
use serde::{Deserialize, Serialize};

/// The plan, in words and numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PlanSummary {
    /// The servers' addresses.
    pub(crate) targets: Vec<String>,
    pub(crate) threads: usize,
    #[serde(flatten)]
    pub(crate) shape: Shape,
}

/// The part of a plan that must be the same in results that are merged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shape {
    /// Messages per second of one client, in an open loop.
    pub(crate) rate: Option<u64>,
    /// Messages on each connection.
    pub(crate) messages: Option<u64>,
    pub(crate) duration_seconds: Option<f64>,
    pub(crate) warmup_seconds: f64,
    pub(crate) hold_seconds: Option<f64>,
    pub(crate) reconnect_every: Option<u64>,
    pub(crate) pipeline: usize,
    pub(crate) size: usize,
    pub(crate) framing: String,
    pub(crate) reply_prefix: String,
    pub(crate) verify: String,
    /// How connections end. Results without it are of a client that was strict.
    #[serde(default = "strict")]
    pub(crate) close: String,
    /// What follows when a connection fails. Results without it are of a client that stopped.
    #[serde(default = "stop")]
    pub(crate) on_error: String,
}

impl PlanSummary {
    pub(crate) fn of(plan: &Plan) -> PlanSummary {
        let shape = Shape {
            rate: plan.rate,
            messages: plan.messages,
            duration_seconds: plan.duration.map(|it| it.as_secs_f64()),
            warmup_seconds: plan.warmup.as_secs_f64(),
            hold_seconds: plan.hold.map(|it| it.as_secs_f64()),
            reconnect_every: plan.reconnect_every,
            pipeline: plan.pipeline,
            size: plan.size,
            framing: framing(&plan.framing).to_owned(),
            reply_prefix: String::from_utf8_lossy(&plan.reply_prefix).into_owned(),
            verify: name(plan.verify),
            close: name(plan.close),
            on_error: name(plan.on_error),
        };
        PlanSummary { targets: vec![plan.target.to_string()], threads: plan.threads, shape }
    }

    /// `loop` of the JSON.
    pub(crate) fn kind(&self) -> &'static str {
        if self.shape.rate.is_some() { "open" } else { "closed" }
    }

    /// A difference that prevents merging, if there is one.
    pub(crate) fn difference(&self, other: &PlanSummary) -> Option<String> {
        let value = |shape: &Shape| serde_json::to_value(shape).unwrap_or_default();
        let (ours, theirs) = (value(&self.shape), value(&other.shape));
        let (key, ours) = ours.as_object()?.iter().find(|(key, ours)| theirs[*key] != **ours)?;
        Some(format!("{key} is {ours} in one and {} in the other", theirs[key]))
    }

    pub(crate) fn merge(mut self, other: PlanSummary) -> PlanSummary {
        self.threads += other.threads;
        for target in other.targets {
            if !self.targets.contains(&target) {
                self.targets.push(target);
            }
        }
        self
    }
}

fn strict() -> String {
    name(Close::Strict)
}

fn stop() -> String {
    name(OnError::Stop)
}

/// A value as the command line names it.
fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|it| it.get_name().to_owned()).unwrap_or_default()
}

fn framing(framing: &Framing) -> &'static str {
    match framing {
        Framing::Raw => "raw",
        Framing::Fixed(_) => "fixed",
        Framing::Len32 => "len32",
        Framing::Delimited(_) => "line",
    }
}
