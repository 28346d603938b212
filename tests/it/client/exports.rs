//! `--csv`, `--csv-timeline` and `--hgrm` write results for other programs.

use std::collections::HashMap;
use std::fs;

use reactor_server::Framing;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::client::{ClientProcess, JsonReport, client, report, run, run_json, stderr};
use crate::support::fake_server::{responding, untouched};
use crate::support::running::{Running, config};
use crate::support::temporary;

fn path(name: &str) -> String {
    temporary(&format!("exports-{name}")).display().to_string()
}

/// The rows of a file by the names in its header. Its fields have no quotes.
fn rows(file: &str) -> Vec<HashMap<String, String>> {
    let text = fs::read_to_string(file).expect("a file");
    let fields = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
    let (head, rows) = text.split_once('\n').expect("a header");
    let head = fields(head);
    let row = |line| {
        let fields = fields(line);
        assert_eq!(fields.len(), head.len(), "{text}");
        head.iter().cloned().zip(fields).collect()
    };
    rows.lines().map(row).collect()
}

fn number(row: &HashMap<String, String>, name: &str) -> f64 {
    let field = row.get(name).unwrap_or_else(|| panic!("no {name} in {row:?}"));
    field.parse().unwrap_or_else(|_| panic!("{name} is {field:?}"))
}

#[test]
fn the_summary_has_the_figures_of_the_json_in_one_row() {
    let server = Running::echo(config(Framing::Raw));
    let file = path("summary.csv");
    for flags in [&["-n", "50", "-c", "3"][..], &["-d", "1s", "--rate", "500"]] {
        let flags = [flags, &["--percentiles", "95", "--csv", &file]].concat();
        let JsonReport { json, .. } = run_json(server.address, &flags);
        let rows = rows(&file);
        assert_eq!(rows.len(), 1, "{rows:?}");
        for (name, place) in [
            ("messages", "/messages"),
            ("rate", "/rate"),
            ("bytes_per_second", "/bytes_per_second"),
            ("connections_opened", "/connections/opened"),
            ("latency_us_p95", "/latency_us/p95"),
            ("latency_us_p99_9", "/latency_us/p99_9"),
            ("client_cpu_us_per_message_total", "/client/cpu_us_per_message/total"),
        ] {
            let expected = json.pointer(place).and_then(Value::as_f64).expect(place);
            // The parser of the JSON may be wrong in the last digit.
            let error = number(&rows[0], name) / expected - 1.0;
            assert!(error.abs() < 1e-12, "{name}: {rows:?} {json}");
        }
        for name in ["loop", "plan_framing", "plan_arrival", "environment_started"] {
            assert_eq!(
                json.pointer(&format!("/{}", name.replace('_', "/"))),
                Some(&rows[0][name].clone().into())
            );
        }
        let raw = json["latency_raw_us"]["max"].to_string();
        assert_eq!(rows[0]["latency_raw_us_max"], if raw == "null" { "" } else { &raw });
        assert_eq!(rows[0]["server_cpu_us_per_message_total"], "");
        let [messages, duration] = match json["plan"]["rate"].is_null() {
            true => ["50", ""],
            false => ["", "1.0"],
        };
        assert_eq!(rows[0]["plan_stream"], "false");
        for (name, value) in [
            ("plan_messages", messages),
            ("plan_duration_seconds", duration),
            ("plan_payload", ""),
            ("plan_think_seconds", ""),
            ("plan_warmup_seconds", "0.0"),
        ] {
            assert_eq!(rows[0][name], value, "{name}: {rows:?}");
        }
    }
}

#[test]
fn the_timeline_has_a_row_for_each_step_and_all_messages() {
    let server = Running::echo(config(Framing::Raw));
    let file = path("timeline.csv");
    let flags = ["-c", "3", "-d", "1s", "--rate", "1k", "--csv-timeline", &file];
    let json = run_json(server.address, &flags).json;
    let rows = rows(&file);
    let sum: f64 = rows.iter().map(|row| number(row, "messages")).sum();
    assert_eq!(Some(sum), json["messages"].as_f64());
    assert!(rows.len() >= 10, "{rows:?}");
    let moment = |key: &str| json["timeline"][key].as_f64().expect("a number");
    let opening = moment("messages_began") - moment("began");
    for (row, next) in rows.iter().zip(&rows[1..]) {
        assert_eq!(number(row, "to_seconds"), number(next, "from_seconds"));
        // Messages begin in the middle of a step, and the run ends in that of the last.
        let is_opening = number(row, "from_seconds") <= opening;
        assert!(is_opening || number(row, "connections") == 3.0, "{rows:?}");
    }
    let of = |key: &str| rows.iter().map(|row| row[key].clone()).collect::<Vec<_>>();
    assert!(of("errors").iter().chain(&of("reconnects")).all(|it| it == "0"), "{rows:?}");
    for key in ["p50", "p99", "max"] {
        let in_json = json["timeline"]["latency_us"][key].as_array().expect("a list");
        let known: Vec<_> = in_json.iter().filter_map(|it| it.as_f64()).collect();
        let shown = of(&format!("latency_us_{key}"));
        let shown: Vec<f64> = shown.iter().filter_map(|it| it.parse().ok()).collect();
        // The last row holds two steps if the last step is short.
        let (_, before) = shown.split_last().expect("a latency");
        assert!(known.starts_with(before), "{key} {rows:?} {known:?}");
    }
    assert!((number(&rows[0], "unix_seconds") - moment("began")).abs() < 0.001, "{rows:?}");
    // A busy machine may have none in a step.
    let row = rows[1..].iter().find(|row| number(row, "messages") > 0.0).expect("messages");
    let rate = number(row, "messages") / (number(row, "to_seconds") - number(row, "from_seconds"));
    assert!((number(row, "rate") / rate - 1.0).abs() < 0.01, "{rows:?}");
}

/// The lines that HdrHistogram's plotter reads: those of four fields that begin with no `#`.
#[test]
fn percentiles_are_in_the_format_that_plotters_of_hdrhistogram_read() {
    let server = Running::echo(config(Framing::Raw));
    let file = path("run.hgrm");
    let json = run_json(server.address, &["-c", "4", "-n", "250", "--hgrm", &file]).json;
    let text = fs::read_to_string(&file).expect("a file");
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let lines: Vec<_> = lines.filter(|it| it.len() == 4 && !it[0].starts_with('#')).collect();
    let points: Vec<(f64, f64)> = lines
        .iter()
        .filter_map(|line| Some((line[3].parse().ok()?, line[0].parse().ok()?)))
        .collect();
    assert_eq!(points.len() + 1, lines.len(), "all but the header: {text}");
    let at = |inverse: f64| points.iter().find(|point| point.0 == inverse).map(|point| point.1);
    for (inverse, key) in [(2.0, "p50"), (10.0, "p90"), (20.0, "p95")] {
        assert_eq!(at(inverse), json["latency_us"][key].as_f64(), "{key}: {text}");
    }
    let last = text.lines().rfind(|line| !line.starts_with('#')).expect("a line");
    let max = json["latency_us"]["max"].as_f64().expect("a number");
    assert_eq!(last, format!("{max:12.3} 1.000000000000       1000"));
}

#[test]
fn merged_results_are_exported_too() {
    let server = Running::echo(config(Framing::Raw));
    let files = ["one.json", "other.json"].map(path);
    for file in &files {
        let output = run(server.address, &["-c", "2", "-n", "20", "--json", "-o", file]);
        assert!(output.status.success(), "{output:?}");
    }
    let exports = ["merged.csv", "merged.timeline.csv", "merged.hgrm"].map(path);
    let flags = ["--csv", &exports[0], "--csv-timeline", &exports[1], "--hgrm", &exports[2]];
    assert!(report(&files, &flags).status.success());
    let summary = &rows(&exports[0])[0];
    assert_eq!((number(summary, "messages"), number(summary, "clients")), (80.0, 2.0));
    let sum: f64 = rows(&exports[1]).iter().map(|row| number(row, "messages")).sum();
    let hgrm = fs::read_to_string(&exports[2]).expect("a file");
    assert!(sum == 80.0 && hgrm.contains("Total count    =           80]"), "{sum}: {hgrm}");
}

#[test]
fn an_export_that_cannot_be_opened_or_has_the_file_of_another_output_prevents_the_load() {
    let (listener, address) = untouched();
    let file = path("same");
    for (flags, code, reason) in [
        (&["--csv", "/no/such/folder/a.csv"][..], 1, "cannot write to /no/such/folder/a.csv: No"),
        (&["--hgrm", &file, "--csv", &file], 2, "--hgrm and --csv have the same output"),
        (&["--csv", &file, "-o", &file], 2, "--csv and the results (--output) have the same"),
        (&["--csv-timeline", "-"], 2, "--csv-timeline and the results (--output) have the same"),
        (&["--check", "--hgrm", &file], 2, "--check has no results for --csv"),
    ] {
        let output = run(address, flags);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{flags:?}");
        let error = format!("error: {reason}");
        assert!(stderr(&output).starts_with(&error), "{flags:?}: {}", stderr(&output));
    }
    assert!(listener.accept().is_err(), "it has connected");
}

#[test]
fn the_others_are_written_if_an_export_cannot_be_and_devices_may_be_shared() {
    let server = Running::echo(config(Framing::Raw));
    let file = path("rest.hgrm");
    let flags = ["-c", "1", "-n", "5", "--csv", "/dev/full", "--hgrm", &file];
    let output = run(server.address, &flags);
    let error = "error: cannot write --csv to /dev/full: No space left on device (os error 28)\n";
    assert_eq!((output.status.code(), stderr(&output)), (Some(1), error.to_owned()));
    assert!(String::from_utf8_lossy(&output.stdout).contains("messages  5 in "), "{output:?}");
    assert!(fs::read_to_string(&file).expect("a file").contains("Total count"));
    let nothing = "/dev/null";
    let flags = ["-n", "5", "-o", nothing, "--csv", nothing, "--csv-timeline", nothing];
    assert_eq!(run(server.address, &flags).status.code(), Some(0));
    let piped = run(server.address, &["-n", "5", "-o", nothing, "--csv", "-"]);
    assert_eq!(String::from_utf8_lossy(&piped.stdout).lines().count(), 2, "{piped:?}");
}

#[test]
fn an_interrupted_load_is_exported_and_a_variable_names_the_file() {
    let file = path("interrupted.csv");
    let silent = responding(|_, _| {});
    let mut command = client(silent, &["-c", "1", "-n", "5"]);
    command.env("CLIENT_CSV", &file);
    let process = ClientProcess::start(command);
    process.wait_until_signals_are_blocked();
    process.signal(Signal::INT);
    assert_eq!(process.output().status.code(), Some(130));
    let row = &rows(&file)[0];
    assert_eq!((&row["interrupted"][..], &row["messages"][..]), ("true", "0"));
    assert_eq!(row["latency_us_p50"], "");
}
