//! The results of one client, or of several together.

use std::collections::BTreeMap;

use anyhow::bail;
use reactor_server::load::{Outcome, Plan};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cost::{Cpu, ServerCost};
use crate::distribution::Distribution;
use crate::environment::Environment;
use crate::summary::Summary;
use crate::timeline::Timeline;

/// The results of one client, or of several together: what is printed is made of it alone,
/// and its JSON can be read back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) messages: u64,
    pub(crate) errors: u64,
    pub(crate) mismatches: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    /// Messages that were due and not sent when time was up (open loop).
    pub(crate) unsent: u64,
    pub(crate) seconds: f64,
    /// When the last reply came, in seconds since 1970.
    pub(crate) ended: f64,
    pub(crate) connections: Connections,
    pub(crate) histogram: Distribution,
    /// In an open loop: from when the messages were sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) histogram_raw: Option<Distribution>,
    pub(crate) interrupted: bool,
    pub(crate) complaints: BTreeMap<String, u64>,
    pub(crate) plan: Summary,
    pub(crate) timeline: Timeline,
    /// Processor time of the client, in seconds.
    #[serde(rename = "client")]
    pub(crate) client_cpu: Cpu,
    #[serde(rename = "server", default, skip_serializing_if = "Option::is_none")]
    pub(crate) server_cost: Option<ServerCost>,
    /// Where it ran; if several clients did, the first of them.
    pub(crate) environment: Environment,
    /// Where the others ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) environments: Vec<Environment>,
}

/// What became of the connections.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Connections {
    pub(crate) requested: u64,
    pub(crate) opened: u64,
    pub(crate) failed: u64,
    /// Until the last was open.
    pub(crate) seconds: f64,
    /// Opened in the place of one that had had its messages.
    pub(crate) reopened: u64,
    /// Why connections could not be opened, and how often.
    pub(crate) failures: BTreeMap<String, u64>,
}

/// What is known of a run beside its outcome.
#[derive(Debug)]
pub(crate) struct Circumstances {
    /// When it ended, in seconds since 1970.
    pub(crate) ended: f64,
    pub(crate) timeline: Timeline,
    pub(crate) client_cpu: Cpu,
    pub(crate) server_cost: Option<ServerCost>,
    pub(crate) environment: Environment,
}

/// In seconds: no time since 1970 is longer.
const CENTURIES: f64 = 1e10;

impl Report {
    pub(crate) fn new(plan: &Plan, outcome: Outcome, around: Circumstances) -> Report {
        let connections = outcome.connections;
        Report {
            messages: outcome.messages,
            errors: outcome.errors,
            mismatches: outcome.mismatches,
            bytes_sent: outcome.bytes_sent,
            bytes_received: outcome.bytes_received,
            unsent: outcome.unsent,
            seconds: outcome.time.as_secs_f64(),
            ended: around.ended,
            connections: Connections {
                requested: connections.requested,
                opened: connections.opened,
                failed: connections.failed,
                seconds: connections.time.as_secs_f64(),
                reopened: connections.reopened,
                failures: connections.failures,
            },
            histogram: Distribution(outcome.latency),
            histogram_raw: outcome.raw.map(Distribution),
            interrupted: outcome.interrupted,
            complaints: outcome.complaints,
            plan: Summary::of(plan),
            timeline: around.timeline,
            client_cpu: around.client_cpu,
            server_cost: around.server_cost,
            environment: around.environment,
            environments: Vec::new(),
        }
    }

    /// Replies a second.
    pub(crate) fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.messages as f64 / self.seconds } else { 0.0 }
    }

    /// Whether all that was asked for was done, and every byte was right.
    pub(crate) fn is_clean(&self) -> bool {
        self.errors == 0 && self.mismatches == 0
    }

    /// Where each client ran.
    pub(crate) fn all_environments(&self) -> impl Iterator<Item = &Environment> {
        std::iter::once(&self.environment).chain(&self.environments)
    }

    /// How many clients it is of.
    pub(crate) fn clients(&self) -> usize {
        1 + self.environments.len()
    }

    /// Adds the results of another client with the same plan.
    ///
    /// # Errors
    /// It had another plan.
    pub(crate) fn merge(mut self, other: Report) -> anyhow::Result<Report> {
        if let Some(difference) = self.plan.difference(&other.plan) {
            bail!("they ran different plans: {difference}");
        }
        if other.all_environments().any(|other| self.all_environments().any(|ours| ours == other)) {
            bail!("its results are among the others already");
        }
        // Both ran from there to their end.
        let began = (self.ended - self.seconds).min(other.ended - other.seconds);
        self.ended = self.ended.max(other.ended);
        self.seconds = self.ended - began;
        self.messages += other.messages;
        self.errors += other.errors;
        self.mismatches += other.mismatches;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.unsent += other.unsent;
        self.connections.add(other.connections);
        self.histogram += &other.histogram;
        if let (Some(ours), Some(theirs)) = (&mut self.histogram_raw, &other.histogram_raw) {
            *ours += theirs;
        }
        self.interrupted |= other.interrupted;
        add(&mut self.complaints, other.complaints);
        self.timeline = self.timeline.merge(&other.timeline);
        self.client_cpu = self.client_cpu.plus(other.client_cpu);
        self.server_cost = match (self.server_cost, other.server_cost) {
            (Some(ours), Some(theirs)) => Some(ours.merge(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        self.plan = self.plan.merge(other.plan);
        self.environments.push(other.environment);
        self.environments.extend(other.environments);
        Ok(self)
    }

    /// What is written, and the figures that follow from it.
    pub(crate) fn to_json(&self, percentiles: &[f64]) -> anyhow::Result<Value> {
        let mut value = serde_json::to_value(self)?;
        let more = [
            ("rate", json!(self.rate())),
            ("loop", json!(self.plan.kind())),
            ("clients", json!(self.clients())),
            ("latency_us", self.histogram.figures(percentiles).into()),
            ("histogram_unit", json!("ns")),
        ];
        let fields = value.as_object_mut().expect("a struct becomes an object");
        fields.extend(more.map(|(key, value)| (key.to_owned(), value)));
        if let Some(raw) = &self.histogram_raw {
            fields.insert("latency_raw_us".to_owned(), raw.figures(percentiles).into());
        }
        fields["client"]["cpu_us_per_message"] = self.client_cpu.per_message(self.messages);
        if let Some(cost) = &self.server_cost {
            fields["server"]["cpu_us_per_message"] = cost.cpu().per_message(self.messages);
        }
        Ok(value)
    }

    /// As it was read, if its figures can be true.
    ///
    /// # Errors
    /// They cannot.
    pub(crate) fn checked(self) -> anyhow::Result<Report> {
        let times = [self.seconds, self.ended, self.timeline.began];
        let are_times = times.iter().all(|time| (0.0..CENTURIES).contains(time));
        if !are_times || self.histogram.0.len() != self.messages || !self.timeline.is_sound() {
            bail!("its figures contradict each other");
        }
        Ok(self)
    }
}

impl Connections {
    fn add(&mut self, other: Connections) {
        self.requested += other.requested;
        self.opened += other.opened;
        self.failed += other.failed;
        self.seconds = self.seconds.max(other.seconds);
        self.reopened += other.reopened;
        add(&mut self.failures, other.failures);
    }
}

fn add(sums: &mut BTreeMap<String, u64>, more: BTreeMap<String, u64>) {
    for (key, count) in more {
        *sums.entry(key).or_default() += count;
    }
}
