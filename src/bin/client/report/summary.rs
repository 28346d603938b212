//! The plan, as it is recorded in the results.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use clap::ValueEnum;
use reactor_server::Framing;
use reactor_server::load::{Arrival, Body, Close, OnError, Plan};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
    /// How messages are spread over time, in an open loop.
    #[serde(default = "uniform")]
    pub(crate) arrival: String,
    /// The mean time between a reply and the next message, and how the times differ.
    #[serde(default)]
    pub(crate) think_seconds: Option<f64>,
    #[serde(default)]
    pub(crate) think_spread: Option<String>,
    /// Messages on each connection.
    pub(crate) messages: Option<u64>,
    pub(crate) duration_seconds: Option<f64>,
    pub(crate) warmup_seconds: f64,
    pub(crate) hold_seconds: Option<f64>,
    pub(crate) reconnect_every: Option<u64>,
    pub(crate) pipeline: usize,
    /// Whether the messages of a connection are one stream.
    #[serde(default)]
    pub(crate) stream: bool,
    pub(crate) size: Size,
    /// The bytes of every message, if they were given.
    #[serde(default)]
    pub(crate) payload: Option<String>,
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

/// A longer payload is not recorded whole.
const MAX_PAYLOAD: usize = 64;

/// Bytes of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Size {
    Fixed(usize),
    /// The least and the most, as the command line names them.
    Range(String),
}

impl Size {
    fn of(size: &RangeInclusive<usize>) -> Size {
        match (size.start(), size.end()) {
            (least, most) if least == most => Size::Fixed(*least),
            (least, most) => Size::Range(format!("{least}..{most}")),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Size::Fixed(size) => write!(f, "{size}"),
            Size::Range(range) => write!(f, "{range}"),
        }
    }
}

impl PlanSummary {
    pub(crate) fn of(plan: &Plan) -> PlanSummary {
        let shape = Shape {
            rate: plan.rate,
            arrival: name(plan.arrival),
            think_seconds: plan.think.map(|it| it.mean.as_secs_f64()),
            think_spread: plan.think.map(|it| name(it.spread)),
            messages: plan.messages,
            duration_seconds: plan.duration.map(|it| it.as_secs_f64()),
            warmup_seconds: plan.warmup.as_secs_f64(),
            hold_seconds: plan.hold.map(|it| it.as_secs_f64()),
            reconnect_every: plan.reconnect_every,
            pipeline: plan.pipeline,
            stream: plan.stream,
            size: Size::of(&plan.body.sizes()),
            payload: payload(&plan.body),
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

    /// What must be the same in results that are merged, by name.
    pub(crate) fn fields(&self) -> Map<String, Value> {
        let shape = serde_json::to_value(&self.shape).unwrap_or_default();
        let mut fields = shape.as_object().cloned().unwrap_or_default();
        fields.insert("loop".to_owned(), self.kind().into());
        fields
    }

    /// A server's address that is of the client's own host, if there is one.
    pub(crate) fn loopback_target(&self) -> Option<&String> {
        let is_loopback = |it: &&String| {
            it.parse::<SocketAddr>().is_ok_and(|it| it.ip().to_canonical().is_loopback())
        };
        self.targets.iter().find(is_loopback)
    }

    /// How the servers' addresses differ, if they do.
    pub(crate) fn other_servers(&self, other: &PlanSummary) -> Option<String> {
        let has_all = |one: &PlanSummary, other: &PlanSummary| {
            one.targets.iter().all(|target| other.targets.contains(target))
        };
        let list = |it: &PlanSummary| it.targets.join(" and ");
        (!has_all(self, other) || !has_all(other, self))
            .then(|| format!("{} in one, {} in the other", list(self), list(other)))
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

/// The bytes of every message with escapes, or the first of them and a hash of all.
fn payload(body: &Body) -> Option<String> {
    let Body::Given(bytes) = body else { return None };
    let start = bytes[..bytes.len().min(MAX_PAYLOAD)].escape_ascii();
    Some(match bytes.len() {
        ..=MAX_PAYLOAD => start.to_string(),
        _ => format!("{start}... (FNV-1a {:016x})", fnv_1a(bytes)),
    })
}

/// A hash that is the same on every machine.
/// Source: Fowler, Noll and Vo, "The FNV Non-Cryptographic Hash Algorithm".
fn fnv_1a(bytes: &[u8]) -> u64 {
    let add = |hash: u64, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, add)
}

fn uniform() -> String {
    name(Arrival::Uniform)
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
