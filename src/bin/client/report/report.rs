//! The results of one client, or of several clients together.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use reactor_server::load::{Outcome, Plan};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::connection_counts::{ConnectionCounts, add};
use super::cost::{Cpu, ServerCost};
use super::difference::difference;
use super::distribution::Distribution;
use super::environment::Environment;
use super::outages::Outages;
use super::step::per_second;
use super::summary::PlanSummary;
use super::timeline::Timeline;

/// The results of one client, or of several clients together. It holds all that is printed,
/// and can be read back from its JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) messages: u64,
    pub(crate) errors: u64,
    pub(crate) mismatches: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    /// Messages that were due, but not sent before time was up (open loop).
    pub(crate) unsent: u64,
    /// Messages that count and were sent, but whose reply was not verified: their connection
    /// failed.
    #[serde(default)]
    pub(crate) unanswered: u64,
    /// Connections that the server did not close in time, after their last reply.
    #[serde(default)]
    pub(crate) not_closed: u64,
    pub(crate) seconds: f64,
    /// How much of `seconds` had passed when the last connection failed, if that was before the
    /// duration was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended_early_seconds: Option<f64>,
    /// When `seconds` were over: seconds since 1970.
    pub(crate) ended: f64,
    pub(crate) connections: ConnectionCounts,
    /// Results without it are of a client that opened no lost connection again.
    #[serde(default)]
    pub(crate) outages: Outages,
    pub(crate) histogram: Distribution,
    /// In an open loop: latencies since the messages were sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) histogram_raw: Option<Distribution>,
    /// How long connections took to open. Results without it are of a client that did not
    /// measure it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) connect_histogram: Option<Distribution>,
    pub(crate) interrupted: bool,
    /// Texts of errors and mismatches, and how often each occurred.
    #[serde(rename = "complaints")]
    pub(crate) error_texts: BTreeMap<String, u64>,
    pub(crate) plan: PlanSummary,
    pub(crate) timeline: Timeline,
    /// CPU time of the client, if known.
    #[serde(rename = "client")]
    pub(crate) client_cpu: Option<Cpu>,
    /// The share of the duration in which the client's busiest thread ran or waited for a CPU, if
    /// known. A sweep needs it; results that are read from a file do not have it.
    #[serde(skip)]
    pub(crate) client_busy: Option<f64>,
    /// The time in which client and server used their CPU time. Results without it are of a
    /// client that did not measure it.
    #[serde(default)]
    pub(crate) cpu_span_seconds: Option<f64>,
    /// What the load costs the server, if that was asked for. If it cannot be read it is
    /// `Some(None)`, and null in the JSON.
    #[serde(rename = "server", default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "present")]
    pub(crate) server_cost: Option<Option<ServerCost>>,
    /// The environment of the client, or of the first of several.
    pub(crate) environment: Environment,
    /// The environments of the other clients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) environments: Vec<Environment>,
}

/// What is recorded of a run besides its outcome.
#[derive(Debug)]
pub(crate) struct RunRecord {
    /// When the time that counts ended, in seconds since 1970.
    pub(crate) ended: f64,
    pub(crate) outages: Outages,
    pub(crate) timeline: Timeline,
    pub(crate) client_cpu: Option<Cpu>,
    pub(crate) cpu_span: Duration,
    pub(crate) server_cost: Option<Option<ServerCost>>,
    pub(crate) environment: Environment,
}

/// A limit for times read from a file, in seconds since 1970: 300 years.
const MAX_SECONDS: f64 = 1e10;
/// A limit for every number of a report: up to it an `f64` is exact, and the sum of two, or of
/// all steps of a timeline, fits an `u64`.
const MAX_NUMBER: f64 = (1_u64 << 53) as f64;

impl Report {
    pub(crate) fn new(plan: &Plan, outcome: Outcome, record: RunRecord) -> Report {
        let connections = outcome.connections;
        Report {
            messages: outcome.messages,
            errors: outcome.errors,
            mismatches: outcome.mismatches,
            bytes_sent: outcome.bytes_sent,
            bytes_received: outcome.bytes_received,
            unsent: outcome.unsent,
            unanswered: outcome.unanswered,
            not_closed: outcome.not_closed,
            seconds: outcome.time.as_secs_f64(),
            ended_early_seconds: outcome.ended_early.map(|it| it.as_secs_f64()),
            ended: record.ended,
            connections: ConnectionCounts::of(&connections),
            outages: record.outages,
            histogram: Distribution(outcome.latency),
            histogram_raw: outcome.raw.map(Distribution),
            connect_histogram: Some(Distribution(connections.connect)),
            interrupted: outcome.interrupted,
            error_texts: outcome.error_texts.into_counts(),
            plan: PlanSummary::of(plan),
            timeline: record.timeline,
            client_cpu: record.client_cpu,
            client_busy: outcome.busy,
            cpu_span_seconds: Some(record.cpu_span.as_secs_f64()),
            server_cost: record.server_cost,
            environment: record.environment,
            environments: Vec::new(),
        }
    }

    /// Replies per second.
    pub(crate) fn rate(&self) -> f64 {
        per_second(self.messages, self.seconds)
    }

    /// Received bytes per second.
    pub(crate) fn bytes_per_second(&self) -> f64 {
        per_second(self.bytes_received, self.seconds)
    }

    /// How many messages the plan has, in a closed loop without a duration.
    pub(crate) fn planned_messages(&self) -> Option<u64> {
        let shape = &self.plan.shape;
        let has_end = shape.rate.is_none() && shape.duration_seconds.is_none();
        let last_echo = u64::from(shape.hold_seconds.is_some());
        let each = shape.messages.filter(|_| has_end)?.saturating_add(last_echo);
        Some(self.connections.requested.saturating_mul(each))
    }

    /// Whether there were no errors and no mismatches.
    pub(crate) fn is_clean(&self) -> bool {
        self.errors == 0 && self.mismatches == 0
    }

    /// Whether no message was answered, and no error is the reason.
    pub(crate) fn is_empty(&self) -> bool {
        self.messages == 0 && self.is_clean()
    }

    /// What the load costs the server, if known.
    pub(crate) fn server_cost(&self) -> Option<&ServerCost> {
        self.server_cost.as_ref()?.as_ref()
    }

    /// The environments of all clients.
    pub(crate) fn all_environments(&self) -> impl Iterator<Item = &Environment> {
        std::iter::once(&self.environment).chain(&self.environments)
    }

    /// How many clients these are the results of.
    pub(crate) fn clients(&self) -> usize {
        1 + self.environments.len()
    }

    /// How the load of another run differs from this one's, if it does.
    pub(crate) fn difference(&self, other: &Report) -> Option<String> {
        let fields = |report: &Report| {
            let mut fields = report.plan.fields();
            fields.insert("connections".to_owned(), report.connections.requested.into());
            fields
        };
        difference(&fields(self), &fields(other))
    }

    /// How the servers of another run differ from this one's, if they do. An address of loopback
    /// is another server on another host.
    pub(crate) fn other_servers(&self, other: &Report) -> Option<String> {
        self.plan.other_servers(&other.plan).or_else(|| {
            let hosts = self.environment.host.as_ref().zip(other.environment.host.as_ref());
            let (ours, theirs) = hosts.filter(|(ours, theirs)| ours != theirs)?;
            let target = self.plan.loopback_target()?;
            Some(format!("{target} on {ours} in one, {target} on {theirs} in the other"))
        })
    }

    /// Returns whether results of a client are in both.
    pub(crate) fn overlaps(&self, other: &Report) -> bool {
        other.all_environments().any(|other| self.all_environments().any(|ours| ours == other))
    }

    /// Adds the results of another client with the same plan and the same server.
    ///
    /// # Errors
    /// The plans or the servers differ, these results are included already, or a sum is too large.
    pub(crate) fn merge(mut self, other: Report) -> anyhow::Result<Report> {
        if let Some(difference) = difference(&self.plan.fields(), &other.plan.fields()) {
            bail!("they ran different plans: {difference} (`client compare` compares them)");
        }
        if let Some(difference) = self.other_servers(&other) {
            bail!("they are of different servers: {difference} (`client compare` compares them)");
        }
        if self.overlaps(&other) {
            bail!("its results are among the others already");
        }
        // The earlier of both starts.
        let began = (self.ended - self.seconds).min(other.ended - other.seconds);
        self.ended = self.ended.max(other.ended);
        self.seconds = self.ended - began;
        let both = self.ended_early_seconds.zip(other.ended_early_seconds);
        self.ended_early_seconds = both.map(|(ours, theirs)| ours.max(theirs));
        self.messages += other.messages;
        self.errors += other.errors;
        self.mismatches += other.mismatches;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.unsent += other.unsent;
        self.unanswered += other.unanswered;
        self.not_closed += other.not_closed;
        self.connections.add(other.connections);
        self.outages.add(other.outages);
        self.histogram += &other.histogram;
        if let (Some(ours), Some(theirs)) = (&mut self.histogram_raw, &other.histogram_raw) {
            *ours += theirs;
        }
        let both = self.connect_histogram.zip(other.connect_histogram);
        self.connect_histogram = both.map(|(mut ours, theirs)| {
            ours += &theirs;
            ours
        });
        self.interrupted |= other.interrupted;
        add(&mut self.error_texts, other.error_texts);
        self.timeline = self.timeline.merge(&other.timeline);
        let both = self.client_cpu.zip(other.client_cpu);
        self.client_cpu = both.map(|(ours, theirs)| ours.plus(theirs));
        let both = self.cpu_span_seconds.zip(other.cpu_span_seconds);
        self.cpu_span_seconds = both.map(|(ours, theirs)| ours.max(theirs));
        self.server_cost = match (self.server_cost, other.server_cost) {
            (Some(Some(ours)), Some(Some(theirs))) => Some(Some(ours.merge(theirs))),
            (Some(None), Some(theirs)) => Some(theirs),
            (ours, theirs) => ours.or(theirs),
        };
        self.plan = self.plan.merge(other.plan);
        self.environments.push(other.environment);
        self.environments.extend(other.environments);
        self.checked()
    }

    /// The JSON, with figures that are calculated from what it holds.
    pub(crate) fn to_json(&self, percentiles: &[f64]) -> anyhow::Result<Value> {
        let mut value = serde_json::to_value(self)?;
        let more = [
            ("rate", json!(self.rate())),
            ("bytes_per_second", json!(self.bytes_per_second())),
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
        fields["outages"]["p50_seconds"] = json!(self.outages.p50_seconds());
        if let Some(connect) = &self.connect_histogram {
            fields.insert("connect_us".to_owned(), connect.figures(percentiles).into());
        }
        if !self.timeline.histograms.is_empty() {
            fields["timeline"]["latency_us"] = self.timeline.figures().into();
        }
        if let Some(cpu) = self.client_cpu {
            fields["client"]["cpu_us_per_message"] = cpu.json_per_message(self.messages);
        }
        if let Some(cost) = self.server_cost() {
            fields["server"]["cpu_us_per_message"] = cost.cpu().json_per_message(self.messages);
        }
        Ok(value)
    }

    /// Checks a report that was read from a file, or merged. Two that pass can be merged
    /// without an overflow.
    ///
    /// # Errors
    /// Its figures are too large, or contradict each other.
    pub(crate) fn checked(self) -> anyhow::Result<Report> {
        if !is_bounded(&serde_json::to_value(&self)?) {
            bail!("a number of it is negative or too large");
        }
        let times = [Some(self.seconds), Some(self.ended), Some(self.timeline.began)];
        let times = times.into_iter().chain([self.timeline.messages_began]).flatten();
        let are_times = times.into_iter().all(|time| (0.0..MAX_SECONDS).contains(&time));
        let histograms = [Some(&self.histogram), self.histogram_raw.as_ref()];
        let are_counts = histograms.into_iter().flatten().all(|it| it.len() == self.messages);
        let are_counts = are_counts && self.outages.is_sound();
        let have_cpus = self.all_environments().all(|it| it.cpus > 0) && self.plan.threads > 0;
        if !are_times || !are_counts || !have_cpus || !self.timeline.is_sound() {
            bail!("its figures contradict each other");
        }
        Ok(self)
    }
}

/// Reads a key that is there, perhaps with null. Without it the field has its default.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<ServerCost>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// Whether all numbers in it are within the limits.
fn is_bounded(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|it| (0.0..=MAX_NUMBER).contains(&it)),
        Value::Array(values) => values.iter().all(is_bounded),
        Value::Object(fields) => fields.values().all(is_bounded),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::sample::{accepted, read, results};
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn what_files_hold_is_refused_or_has_json_that_can_be_read_again(reports in accepted()) {
            for report in reports {
                let json = report.to_json(&[0.0, 99.99, 100.0]).expect("it can be written");
                for key in ["rate", "seconds", "ended"] {
                    prop_assert!(json[key].is_number(), "{}: {}", key, json);
                }
                prop_assert!(read(json).is_ok());
            }
        }
    }

    #[test]
    fn unchanged_results_are_read_and_merged() {
        let read = |pid| read(results(pid)).expect("sound");
        let both = read(1).merge(read(7)).expect("a sum");
        assert_eq!((both.messages, both.clients(), both.rate()), (6, 4, 12.0));
    }

    #[test]
    fn results_without_a_cpu_or_a_thread_are_refused() {
        for place in ["/environment/cpus", "/environments/0/cpus", "/plan/threads"] {
            let mut json = results(1);
            *json.pointer_mut(place).expect("it is there") = 0.into();
            assert!(read(json).is_err(), "{place}");
        }
    }

    #[test]
    fn a_cost_of_the_server_that_cannot_be_read_is_null_if_it_was_asked_for() {
        let of = |pid, server: Option<Value>| {
            let mut json = results(pid);
            json.as_object_mut().expect("it").remove("server");
            json.as_object_mut().expect("it").extend(server.map(|it| ("server".to_owned(), it)));
            read(json).expect("results")
        };
        let (null, cost) = (Some(json!(null)), Some(results(1)["server"].clone()));
        let server = |report: Report| report.to_json(&[]).expect("it").get("server").cloned();
        assert_eq!((server(of(1, None)), server(of(1, null.clone()))), (None, null.clone()));
        for (one, other) in [(&null, &null), (&null, &None), (&None, &null)] {
            let both = of(1, one.clone()).merge(of(7, other.clone()));
            assert_eq!(server(both.expect("a sum")), null);
        }
        for (one, other) in [(&cost, &null), (&null, &cost), (&cost, &None), (&None, &cost)] {
            let both = of(1, one.clone()).merge(of(7, other.clone()));
            assert!(server(both.expect("a sum")).is_some_and(|it| it.is_object()));
        }
    }
}
