//! The results as CSV, as RFC 4180 describes it, with line breaks of one character.

use serde_json::Value;

use super::report::Report;

/// What a summary has of the JSON. Each column is named for its place.
const COLUMNS: [&str; 47] = [
    "/environment/started",
    "/environment/version",
    "/clients",
    "/plan/targets",
    "/loop",
    "/plan/stream",
    "/plan/rate",
    "/plan/arrival",
    "/plan/think_seconds",
    "/plan/think_spread",
    "/plan/messages",
    "/plan/duration_seconds",
    "/plan/warmup_seconds",
    "/plan/hold_seconds",
    "/plan/reconnect_every",
    "/plan/size",
    "/plan/payload",
    "/plan/pipeline",
    "/plan/framing",
    "/plan/reply_prefix",
    "/plan/verify",
    "/plan/close",
    "/plan/on_error",
    "/plan/threads",
    "/connections/requested",
    "/connections/opened",
    "/connections/failed",
    "/connections/reopened",
    "/connections/seconds",
    "/interrupted",
    "/messages",
    "/errors",
    "/mismatches",
    "/unsent",
    "/unanswered",
    "/outages/count",
    "/outages/reconnects",
    "/outages/total_seconds",
    "/outages/max_seconds",
    "/not_closed",
    "/bytes_sent",
    "/bytes_received",
    "/bytes_per_second",
    "/seconds",
    "/rate",
    "/client/cpu_us_per_message/total",
    "/server/cpu_us_per_message/total",
];

/// A summary: a header, and a row that has no value where the JSON has none. With the same
/// percentiles the header is the same, so that the rows of many runs make a table.
pub(crate) fn summary(report: &Report, percentiles: &[f64]) -> anyhow::Result<String> {
    let json = report.to_json(percentiles)?;
    let latencies = json["latency_us"].as_object().into_iter().flat_map(|it| it.keys());
    let latencies: Vec<_> = ["latency_us", "latency_raw_us", "connect_us"]
        .into_iter()
        .flat_map(|kind| latencies.clone().map(move |key| format!("/{kind}/{key}")))
        .collect();
    let places = || COLUMNS.into_iter().chain(latencies.iter().map(String::as_str));
    let names = places().map(|place| place[1..].replace('/', "_"));
    let values = places().map(|place| json.pointer(place).map(text).unwrap_or_default());
    Ok(row(names) + &row(values))
}

/// The steps of the timeline, in seconds since its beginning and since 1970. A field is empty if
/// it is not known, and latencies are where there was no reply.
pub(crate) fn timeline(report: &Report, _: &[f64]) -> anyhow::Result<String> {
    let head = ["from_seconds", "to_seconds", "unix_seconds", "messages", "rate", "connections"];
    let more = ["errors", "reconnects", "latency_us_p50", "latency_us_p99", "latency_us_max"];
    let timeline = &report.timeline;
    let count = |counts: &[u64], count: u64| match counts {
        [] => String::new(),
        _ => count.to_string(),
    };
    let latency = |latency: Option<f64>| latency.map(|it| it.to_string()).unwrap_or_default();
    let steps = timeline.steps(timeline.began, report.ended).into_iter().map(|step| {
        row([
            format!("{:.3}", step.from),
            format!("{:.3}", step.to),
            format!("{:.3}", timeline.began + step.from),
            step.messages.to_string(),
            step.rate().to_string(),
            step.open.to_string(),
            count(&timeline.errors, step.errors),
            count(&timeline.reconnects, step.reconnects),
            latency(step.latency.percentile(50.0)),
            latency(step.latency.percentile(99.0)),
            latency(step.latency.max()),
        ])
    });
    Ok(row(head.into_iter().chain(more).map(str::to_owned)) + &steps.collect::<String>())
}

/// A value of the JSON as text. Several targets are separated by spaces.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

fn row(fields: impl IntoIterator<Item = String>) -> String {
    let fields: Vec<_> = fields.into_iter().map(quoted).collect();
    fields.join(",") + "\n"
}

/// A field, in quotes if it has a character that would end it.
fn quoted(field: String) -> String {
    match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{read, results};
    use super::*;

    #[test]
    fn a_field_that_would_end_early_is_quoted() {
        let fields = ["a", "b,c", "say \"x\"", "two\nlines", ""];
        let expected = "a,\"b,c\",\"say \"\"x\"\"\",\"two\nlines\",\n";
        assert_eq!(row(fields.map(str::to_owned)), expected);
    }

    #[test]
    fn every_field_of_a_plan_has_a_column() {
        let json = read(results(1)).expect("results").to_json(&[]).expect("an object");
        for key in json["plan"].as_object().expect("an object").keys() {
            assert!(COLUMNS.contains(&&*format!("/plan/{key}")), "{key}");
        }
    }

    #[test]
    fn the_header_is_the_same_for_every_loop_and_with_or_without_costs() {
        let mut json = results(1);
        let with = summary(&read(json.clone()).expect("results"), &[50.0, 95.0]).expect("it");
        for key in ["client", "server", "histogram_raw", "connect_histogram"] {
            json.as_object_mut().expect("it").remove(key);
        }
        json["plan"]["rate"] = Value::Null;
        let without = summary(&read(json).expect("results"), &[50.0, 95.0]).expect("it");
        let header = |text: &str| text.lines().next().map(str::to_owned);
        assert_eq!(header(&with), header(&without));
        for text in [with, without] {
            let fields: Vec<_> = text.lines().map(|line| line.split(',').count()).collect();
            assert_eq!(fields, [COLUMNS.len() + 3 * 7; 2], "{text}");
        }
    }
}
