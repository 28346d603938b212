//! The page: one file without scripts that needs no other.

use super::axis;
use super::chart;
use super::html::{details, escape, figure, legend, list, paragraph, section, table};
use super::series::Series;
use crate::report::{Distribution, Environment, Report, text};

/// The style for light and dark screens, for narrow ones, and for paper.
const STYLE: &str = include_str!("page.css");

type Row = Vec<String>;

/// The results as a page.
pub(crate) fn render(report: &Report, percentiles: &[f64]) -> String {
    let title = escape(&format!("{} {}", text::heading(report), text::plan(report)));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>client report: {title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>Echo load</h1>\n<p>{title}</p>\n{}</main>\n</body>\n</html>\n",
        sections(report, percentiles)
    )
}

fn sections(report: &Report, percentiles: &[f64]) -> String {
    let (steps, step) = (report.timeline.steps(report.ended), report.timeline.step_seconds);
    let rate = warmup(report) + &Series::rate().render(&steps, step);
    [
        section("Figures", &(table(&[], &figures(report)) + &list(&notes(report)))),
        section("Latency", &latency(report, percentiles)),
        section("Messages per second", &rate),
        section("Open connections", &Series::connections().render(&steps, step)),
        section("Environment", &environments(report)),
    ]
    .concat()
}

/// The main figures, each with its name.
fn figures(report: &Report) -> Vec<Row> {
    let connections = &report.connections;
    let mut rows = vec![
        ("messages", report.messages.to_string()),
        ("messages per second", format!("{:.0}", report.rate())),
        ("seconds", format!("{:.3}", report.seconds)),
        ("mismatches", report.mismatches.to_string()),
        ("errors", report.errors.to_string()),
    ];
    if report.plan.shape.rate.is_some() {
        rows.push(("not sent in time", report.unsent.to_string()));
    }
    rows.push(("connections opened", connections.opened.to_string()));
    rows.push(("connections failed", connections.failed.to_string()));
    if connections.reopened > 0 {
        rows.push(("connections replaced", connections.reopened.to_string()));
    }
    if report.messages > 0 {
        rows.extend(text::costs(report));
    }
    rows.into_iter().map(|(name, figure)| vec![name.to_owned(), figure]).collect()
}

/// The errors, and what limits the validity of the figures.
fn notes(report: &Report) -> Vec<String> {
    [text::errors(report), text::notes(report)].concat()
}

/// Explains why there may be no messages at first.
fn warmup(report: &Report) -> String {
    match report.plan.shape.warmup_seconds {
        0.0 => String::new(),
        seconds => paragraph(&format!("Messages of the warm-up ({seconds} s) do not count.")),
    }
}

fn latency(report: &Report, percentiles: &[f64]) -> String {
    let corrected = &report.histogram;
    if corrected.is_empty() {
        return paragraph("No reply arrived.");
    }
    let (mut all, mut names, mut head) =
        (vec![corrected], vec![text::basis(report)], vec!["percentile", "latency, us"]);
    if let Some(raw) = &report.histogram_raw {
        all.push(raw);
        names.push("from when it was sent (raw)");
        head = vec!["percentile", "corrected, us", "raw, us"];
    }
    let chart = figure(&chart::latency(&all), &describe(corrected, &names));
    legend(&names) + &chart + &table(&head, &latency_rows(&all, percentiles))
}

fn describe(latency: &Distribution, names: &[&str]) -> String {
    format!(
        "Latency by percentile, {}: half of the messages within {:.1} us, 99 % within {:.1} us, \
         all within {:.1} us",
        names.join(", and "),
        latency.percentile(50.0),
        latency.percentile(99.0),
        latency.max()
    )
}

/// The percentiles on the axis and those requested, then maximum and mean.
fn latency_rows(latencies: &[&Distribution], requested: &[f64]) -> Vec<Row> {
    let messages = latencies.iter().map(|it| it.len()).max().unwrap_or(0);
    let row = |name: String, figure: &dyn Fn(&Distribution) -> f64| {
        let figures = latencies.iter().map(|it| format!("{:.1}", figure(it)));
        [name].into_iter().chain(figures).collect()
    };
    let mut rows: Vec<Row> = axis::percentiles(messages, requested)
        .into_iter()
        .map(|percentile| row(percentile.to_string(), &|it| it.percentile(percentile)))
        .collect();
    rows.push(row("max".to_owned(), &Distribution::max));
    rows.push(row("mean".to_owned(), &Distribution::mean));
    rows
}

/// The environments of all clients.
fn environments(report: &Report) -> String {
    match &report.environments[..] {
        [] => environment(&report.environment),
        others => [&report.environment]
            .into_iter()
            .chain(others)
            .map(|it| {
                let on = format!("on {}, started {}", known(&it.host), it.started);
                details(&on, &environment(it))
            })
            .collect(),
    }
}

fn known(text: &Option<String>) -> String {
    text.clone().unwrap_or_else(|| "unknown".to_owned())
}

fn environment(it: &Environment) -> String {
    let rows = [
        ("host", known(&it.host)),
        ("kernel", known(&it.kernel)),
        ("CPUs", it.cpus.to_string()),
        ("CPU model", known(&it.cpu_model)),
        ("version", it.version.clone()),
        ("started", it.started.clone()),
        ("command", it.command.clone()),
    ];
    let rows = rows.map(|(name, value)| vec![name.to_owned(), value]);
    table(&[], &rows)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use hdrhistogram::Histogram;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// The results of three messages of a merged open loop.
    fn results(pid: u32) -> Value {
        let mut histogram = Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("it");
        for latency in [900, 70_000, 5_000_000] {
            histogram.record(latency).expect("it fits");
        }
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
            "histogram_raw": histogram, "interrupted": false, "complaints": { "t": 1 },
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
                "connections": [2, 2, 2, 1, 0],
            },
            "client": { "user": 0.1, "system": 0.1 },
            "server": {
                "processes": { "1 on h": { "user": 0.1, "system": 0.1 } },
                "bytes_per_connection": { "own": 1.0, "kernel": null },
            },
            "environment": environment, "environments": [second],
        })
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
        if let Some(text) =
            json.get("histogram").and_then(Value::as_str).filter(|_| !bytes.is_empty())
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn whatever_files_hold_is_refused_or_printed(
            one in vec((0..200_usize, replacement()), 0..3),
            one_bytes in vec((0..500_usize, any::<u8>()), 0..2),
            other in vec((0..200_usize, replacement()), 0..2),
        ) {
            let read = |json: Value| {
                serde_json::from_value(json).ok().and_then(|it| Report::checked(it).ok())
            };
            let first = read(changed(results(1), &one, &one_bytes));
            let second = read(changed(results(7), &other, &[]));
            let both = first.clone().zip(second).and_then(|(one, other)| one.merge(other).ok());
            for report in first.into_iter().chain(both) {
                let json = report.to_json(&[0.0, 99.99, 100.0]).expect("it can be written");
                for key in ["rate", "seconds", "ended"] {
                    prop_assert!(json[key].is_number(), "{}: {}", key, json);
                }
                let page = render(&report, &[50.0]);
                for text in [text::render(&report, &[50.0]), page] {
                    let is_plain = !text.contains(['\x1b', '\u{202e}']);
                    prop_assert!(is_plain && !text.contains("NaN"), "{}", text);
                }
                let again = serde_json::from_str(&json.to_string()).expect("it can be read");
                prop_assert!(Report::checked(again).is_ok());
            }
        }
    }

    #[test]
    fn a_note_on_cpus_needs_a_run_that_is_long_and_uses_them() {
        let notes_of = |seconds: f64, client: f64, server: Option<f64>| {
            let mut json = results(1);
            json["seconds"] = seconds.into();
            json["client"]["user"] = (client - 0.1).into();
            json["server"] = json!(null);
            if let Some(server) = server {
                json["server"] = results(1)["server"].clone();
                json["server"]["processes"]["1 on h"]["user"] = (server - 0.1).into();
            }
            let report = serde_json::from_value(json).map_err(anyhow::Error::from);
            let notes = text::notes(&report.and_then(Report::checked).expect("results"));
            ["share 2 CPUs", "be the bottleneck"]
                .map(|it| notes.iter().any(|note| note.contains(it)))
        };
        assert_eq!(notes_of(1.0, 0.95, None), [true, true]);
        assert_eq!(notes_of(1.0, 0.6, None), [true, false]);
        assert_eq!(notes_of(1.0, 0.2, Some(1.0)), [true, false]);
        assert_eq!(notes_of(1.0, 0.2, None), [false, false]);
        assert_eq!(notes_of(0.01, 0.2, None), [false, false]);
    }

    #[test]
    fn unchanged_results_are_read_and_merged() {
        let read = |pid| Report::checked(serde_json::from_value(results(pid)).expect("results"));
        let both = read(1).expect("sound").merge(read(7).expect("sound")).expect("a sum");
        assert_eq!((both.messages, both.clients(), both.rate()), (6, 4, 12.0));
    }
}
