//! The results: for people, or as JSON.

use std::fmt::Write;
use std::{env, fs, thread};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::{Serializer, V2Serializer};
use reactor_server::load::{Outcome, Plan};
use serde_json::{Map, Value, json};

use crate::cli::Cli;

/// The percentiles that are always in the JSON.
const ALWAYS: [f64; 4] = [50.0, 90.0, 99.0, 99.9];

/// The results as they are to be written.
pub(crate) fn render(cli: &Cli, plan: &Plan, outcome: &Outcome) -> anyhow::Result<String> {
    if cli.json {
        Ok(format!("{:#}\n", to_json(cli, plan, outcome)?))
    } else {
        Ok(to_text(cli, plan, outcome))
    }
}

fn to_text(cli: &Cli, plan: &Plan, outcome: &Outcome) -> String {
    let connections = outcome.connections;
    let (framing, verify) = cli.names();
    let seconds = outcome.time.as_secs_f64();
    let mut text = format!(
        "{}{} connections to {}: closed loop, {framing}, {} B, pipeline {}, verify {verify}\n\
         opened    {} in {:.3} s, {} failed\n\
         messages  {} in {seconds:.3} s, {:.0} a second, {} mismatches, {} errors\n\
         bytes     {} sent, {} received\n\
         latency   service time, not corrected (closed loop)\n         ",
        if outcome.interrupted { "interrupted: " } else { "" },
        connections.requested,
        plan.target,
        plan.size,
        plan.pipeline,
        connections.opened,
        connections.time.as_secs_f64(),
        connections.failed,
        outcome.messages,
        outcome.rate(),
        outcome.mismatches,
        outcome.errors,
        outcome.bytes_sent,
        outcome.bytes_received,
    );
    if outcome.latency.is_empty() {
        text.push_str(" no reply came\n");
        return text;
    }
    for &percentile in &cli.percentiles {
        let value = microseconds(outcome.latency.value_at_percentile(percentile));
        // Writing to a string cannot fail.
        let _ = write!(text, " p{percentile} {value:.1} us ");
    }
    let (max, mean) = (microseconds(outcome.latency.max()), outcome.latency.mean() / 1000.0);
    let _ = writeln!(text, " max {max:.1} us  mean {mean:.1} us");
    text
}

fn to_json(cli: &Cli, plan: &Plan, outcome: &Outcome) -> anyhow::Result<Value> {
    let connections = outcome.connections;
    let (framing, verify) = cli.names();
    Ok(json!({
        "messages": outcome.messages,
        "errors": outcome.errors,
        "mismatches": outcome.mismatches,
        "bytes_sent": outcome.bytes_sent,
        "bytes_received": outcome.bytes_received,
        "seconds": outcome.time.as_secs_f64(),
        "rate": outcome.rate(),
        "connections": {
            "requested": connections.requested,
            "opened": connections.opened,
            "failed": connections.failed,
            "seconds": connections.time.as_secs_f64(),
        },
        "latency_us": latency(cli, outcome),
        "loop": "closed",
        "histogram": histogram(outcome)?,
        "histogram_unit": "ns",
        "interrupted": outcome.interrupted,
        "complaints": outcome.complaints,
        "plan": {
            "target": plan.target.to_string(),
            "size": plan.size,
            "pipeline": plan.pipeline,
            "threads": plan.threads,
            "framing": framing,
            "verify": verify,
        },
        "environment": environment(),
    }))
}

fn latency(cli: &Cli, outcome: &Outcome) -> Value {
    let latency = &outcome.latency;
    let mut values = Map::new();
    for &percentile in ALWAYS.iter().chain(&cli.percentiles) {
        let key = format!("p{percentile}").replace('.', "_");
        values.insert(key, json!(microseconds(latency.value_at_percentile(percentile))));
    }
    values.insert("max".to_owned(), json!(microseconds(latency.max())));
    values.insert("mean".to_owned(), json!(latency.mean() / 1000.0));
    Value::Object(values)
}

/// The whole histogram, so that the results of several clients can be merged
/// exactly: HdrHistogram's V2 encoding in base64, in nanoseconds.
fn histogram(outcome: &Outcome) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    V2Serializer::new()
        .serialize(&outcome.latency, &mut bytes)
        .ok()
        .context("the histogram cannot be encoded")?;
    Ok(STANDARD.encode(bytes))
}

fn environment() -> Value {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    json!({
        "kernel": kernel.trim(),
        "cpus": thread::available_parallelism().map_or(0, usize::from),
        "version": env!("CARGO_PKG_VERSION"),
        "command": env::args().collect::<Vec<_>>().join(" "),
    })
}

fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1000.0
}
