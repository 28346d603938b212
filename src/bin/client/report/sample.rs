//! Results for tests, whole and with parts of them replaced.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::distribution::Distribution;
use super::latencies::{Latencies, PackedLatencies};
use super::report::Report;
use super::step::Step;

/// Reads results as from a file.
pub(crate) fn read(json: Value) -> anyhow::Result<Report> {
    serde_json::from_value(json).map_err(anyhow::Error::from).and_then(Report::checked)
}

/// The results of three messages of a merged open loop.
pub(crate) fn results(pid: u32) -> Value {
    let mut histogram = Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("it");
    for latency in [900, 70_000, 5_000_000] {
        histogram.record(latency).expect("it fits");
    }
    let one = |latency| {
        let mut histogram = Histogram::new(3).expect("it");
        histogram.record(latency).expect("it fits");
        json!(PackedLatencies::of(&Latencies::of(Some(&histogram))))
    };
    let steps = json!([one(900), "", one(70_000), "", one(5_000_000)]);
    let histogram = json!(Distribution(histogram));
    let environment = json!({
        "host": "h", "pid": pid, "kernel": "k", "cpus": 2, "cpu_model": "m", "version": "v",
        "command": "c", "started": "s", "shares_cpus": true,
    });
    let mut second = environment.clone();
    second["pid"] = (pid + 1).into();
    json!({
        "messages": 3, "errors": 0, "mismatches": 0, "bytes_sent": 72, "bytes_received": 72,
        "unsent": 1, "seconds": 0.5, "ended": 1000.5, "histogram": histogram,
        "histogram_raw": histogram, "connect_histogram": histogram,
        "interrupted": false, "complaints": { "t": 1 }, "unanswered": 2,
        "outages": {
            "count": 3, "reconnects": 2, "total_seconds": 0.3, "max_seconds": 0.2,
            "began": 1000.1, "ended": 1000.4, "reasons": { "r": 3 }, "histogram": histogram,
        },
        "connections": {
            "requested": 2, "opened": 2, "failed": 0, "seconds": 0.1, "reopened": 1,
            "failures": { "f": 1 },
        },
        "plan": {
            "targets": ["a:1"], "threads": 1, "rate": 6, "messages": 3,
            "duration_seconds": null, "warmup_seconds": 0.0, "hold_seconds": null,
            "reconnect_every": 2, "pipeline": 1, "size": 24, "framing": "raw",
            "reply_prefix": "", "verify": "full",
        },
        "timeline": {
            "began": 1000.0, "step_seconds": 0.1, "messages": [1, 0, 1, 0, 1],
            "connections": [2, 2, 2, 1, 0], "messages_began": 1000.05,
            "errors": [0, 0, 1, 0, 0], "reconnects": [0, 1, 0, 0, 0], "histograms": steps,
        },
        "client": { "user": 0.1, "system": 0.1 },
        "server": {
            "processes": { "1 on h": { "user": 0.1, "system": 0.1 } },
            "bytes_per_connection": { "own": 1.0, "kernel": null },
        },
        "environment": environment, "environments": [second],
    })
}

/// Steps in which all happens that can be drawn.
pub(crate) fn steps() -> Vec<Step> {
    let report = read(results(1)).expect("it is sound");
    report.timeline.steps(report.timeline.began, report.ended)
}

/// Visits every value in it, the innermost first.
fn visit(value: &mut Value, visitor: &mut dyn FnMut(&mut Value)) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|it| visit(it, visitor)),
        Value::Object(fields) => fields.values_mut().for_each(|it| visit(it, visitor)),
        _ => {}
    }
    visitor(value);
}

fn replacement() -> impl Strategy<Value = Value> {
    let whole = [0, 1, 3, 601, 1 << 53, (1 << 53) + 1, u64::MAX].map(Value::from);
    let real = [5e-324, 1e-9, 0.001, 0.5, 999.9, 1e9, 9.99e9, 1e10, 1e300, -1.0];
    let text = ["", "AAAA", "\x1b[2J\n\u{202e}<script>"].map(Value::from);
    let other = [json!(null), json!([]), json!({}), json!(vec![7; 601]), json!([u64::MAX])];
    let numbers = whole.into_iter().chain(real.map(Value::from));
    prop::sample::select(numbers.chain(text).chain(other).collect::<Vec<_>>())
}

/// Replaces values, and bytes of a histogram.
fn changed(mut json: Value, replaced: &[(usize, Value)], bytes: &[(usize, u8)]) -> Value {
    for (at, replacement) in replaced {
        let (mut count, mut index) = (0, 0);
        visit(&mut json, &mut |_| count += 1);
        visit(&mut json, &mut |value| {
            if index == at % count {
                *value = replacement.clone();
            }
            index += 1;
        });
    }
    if let Some(text) = json.get("histogram").and_then(Value::as_str).filter(|_| !bytes.is_empty())
    {
        let mut encoded = STANDARD.decode(text).unwrap_or_default();
        let length = encoded.len().max(1);
        for (at, byte) in bytes {
            encoded.get_mut(at % length).into_iter().for_each(|it| *it = *byte);
        }
        json["histogram"] = STANDARD.encode(encoded).into();
    }
    json
}

/// The results of one client, or of two merged, of whose files parts were replaced, where they
/// are not refused.
pub(crate) fn accepted() -> impl Strategy<Value = Vec<Report>> {
    let replaced = |most| vec((0..200_usize, replacement()), 0..most);
    let bytes = vec((0..500_usize, any::<u8>()), 0..2);
    (replaced(3), bytes, replaced(2)).prop_map(|(one, bytes, other)| {
        let first = read(changed(results(1), &one, &bytes)).ok();
        let second = read(changed(results(7), &other, &[])).ok();
        let both = first.clone().zip(second).and_then(|(one, other)| one.merge(other).ok());
        first.into_iter().chain(both).collect()
    })
}
