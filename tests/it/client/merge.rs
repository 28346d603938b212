//! Results of several clients merge as if one client had sent all their messages.

use std::fs;
use std::path::PathBuf;
use std::thread;

use base64::Engine;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use reactor_server::Framing;
use serde_json::Value;

use crate::support::client::{JsonReport, report, run, stderr};
use crate::support::running::{Running, config};

/// A folder for the files of one test.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Runs clients at once, with these flags each, and returns the files of their results.
fn clients(name: &str, flags: &[&[&str]]) -> Vec<String> {
    let server = Running::echo(config(Framing::Raw));
    let folder = folder(name);
    thread::scope(|scope| {
        let threads: Vec<_> = flags
            .iter()
            .enumerate()
            .map(|(number, flags)| {
                let file = folder.join(format!("{number}.json")).display().to_string();
                let address = server.address;
                scope.spawn(move || {
                    let output = run(address, &[flags, &["--json", "-o", &file][..]].concat());
                    assert!(output.status.success(), "{output:?}");
                    file
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

fn merged(files: &[String]) -> JsonReport {
    JsonReport::of(&report(files, &["--json", "--percentiles", "50,90,99,99.9,99.99"]))
}

fn read(file: &String) -> Value {
    serde_json::from_slice(&fs::read(file).expect("a file")).expect("an object")
}

/// The latencies of a result, each as often as it was recorded.
fn samples(result: &Value, key: &str) -> Vec<u64> {
    let encoded = result[key].as_str().expect("a string");
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).expect("base64");
    let histogram: Histogram<u64> =
        Deserializer::new().deserialize(&mut &bytes[..]).expect("an HdrHistogram");
    let recorded = |it: hdrhistogram::iterators::IterationValue<u64>| {
        std::iter::repeat_n(it.value_iterated_to(), it.count_at_value() as usize)
    };
    histogram.iter_recorded().flat_map(recorded).collect()
}

/// The percentiles of samples in nanoseconds by nearest rank, as the JSON names them.
fn by_hand(mut samples: Vec<u64>) -> Vec<(&'static str, f64)> {
    samples.sort_unstable();
    let rank = |parts: usize| (parts * samples.len()).div_ceil(10_000).max(1) - 1;
    let at = |parts| samples[rank(parts)] as f64 / 1000.0;
    let percentiles = [("p50", 5000), ("p90", 9000), ("p99", 9900), ("p99_9", 9990)];
    let more = [("p99_99", 9999), ("max", 10_000)];
    percentiles.into_iter().chain(more).map(|(key, parts)| (key, at(parts))).collect()
}

#[test]
fn merged_percentiles_are_those_of_all_messages_and_counts_are_sums() {
    let shapes: [&[&str]; 2] = [
        &["-n", "400", "--pipeline", "4"],
        &["-n", "100", "--rate", "2k", "--warmup", "100ms", "--pipeline", "4"],
    ];
    for (number, shape) in shapes.into_iter().enumerate() {
        let flags: Vec<_> =
            ["1", "2", "5", "5", "12"].map(|count| [shape, &["-c", count]].concat()).into();
        let flags: Vec<&[&str]> = flags.iter().map(|flags| &flags[..]).collect();
        let files = clients(&format!("percentiles-{number}"), &flags);
        let (parts, merged) = (files.iter().map(read).collect::<Vec<_>>(), merged(&files));
        assert_eq!(merged.code, 0, "{merged:?}");
        for key in ["messages", "errors", "mismatches", "bytes_sent", "bytes_received", "unsent"] {
            let sum: u64 = parts.iter().map(|part| part[key].as_u64().expect("a number")).sum();
            assert_eq!(merged.number(key), sum, "{key}");
        }
        assert_eq!(merged.number("messages"), 25 * [400, 100][number]);
        assert_eq!(
            (&merged.json["connections"]["opened"], merged.number("clients")),
            (&25.into(), 5)
        );
        for (histogram, latency) in
            [("histogram", "latency_us"), ("histogram_raw", "latency_raw_us")]
        {
            if merged.json[histogram].is_null() {
                continue;
            }
            let all: Vec<u64> = parts.iter().flat_map(|part| samples(part, histogram)).collect();
            assert_eq!(all.len() as u64, merged.number("messages"));
            for (key, truth) in by_hand(all) {
                assert_eq!(merged.json[latency][key].as_f64(), Some(truth), "{latency} {key}");
            }
        }
    }
}

/// Without the keys that depend on the order of the files.
fn comparable(report: &JsonReport) -> Value {
    let mut result = report.json.clone();
    let fields = result.as_object_mut().expect("an object");
    for key in ["environment", "environments", "client", "client_cpu", "timeline"] {
        fields.remove(key);
    }
    for key in ["seconds", "rate", "ended"] {
        fields.remove(key);
    }
    result
}

#[test]
fn merging_in_steps_or_in_another_order_makes_no_difference() {
    let files = clients("steps", &[&["-c", "3", "-n", "200"][..]; 5]);
    let all = merged(&files);
    let (mut reversed, folder) = (files.clone(), folder("steps"));
    reversed.reverse();
    let step = |name: &str, files: &[String]| {
        let path = folder.join(name).display().to_string();
        let output = report(files, &["--json", "-o", &path]);
        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
        path
    };
    let (front, back) = (step("front", &files[..2]), step("back", &files[2..]));
    let both = merged(&[step("front again", &[front]), back]);
    for other in [merged(&reversed), both] {
        assert_eq!(comparable(&other), comparable(&all));
        // Seconds since 1970 as f64 are exact to a quarter of a microsecond.
        let seconds = |report: &JsonReport| report.json["seconds"].as_f64().expect("a number");
        assert!((seconds(&other) - seconds(&all)).abs() < 1e-4);
        let parts = |report: &JsonReport| report.json["timeline"]["messages"].as_array().cloned();
        let sum = |report: &JsonReport| -> u64 {
            parts(report).expect("steps").iter().filter_map(Value::as_u64).sum()
        };
        assert_eq!((sum(&other), sum(&all)), (3000, 3000));
    }
}

#[test]
fn the_merged_json_has_the_keys_that_programs_rely_on() {
    let files = clients("keys", &[&["-c", "2", "-n", "50"][..]; 2]);
    let report = merged(&files);
    let one = read(&files[0]);
    for key in one.as_object().expect("an object").keys() {
        assert!(!report.json[key].is_null(), "{key}");
    }
    assert_eq!(report.json["loop"], "closed");
    let numbers: [(&str, &[&str]); 3] = [
        (
            "",
            &[
                "messages",
                "errors",
                "mismatches",
                "bytes_sent",
                "bytes_received",
                "seconds",
                "rate",
            ],
        ),
        ("/connections", &["requested", "opened", "failed", "seconds"]),
        ("/latency_us", &["p50", "p90", "p99", "p99_9", "max", "mean"]),
    ];
    for (place, keys) in numbers {
        for key in keys {
            let pointer = format!("{place}/{key}");
            assert!(report.json.pointer(&pointer).is_some_and(Value::is_number), "{pointer}");
        }
    }
    assert_eq!(samples(&report.json, "histogram").len(), 200);
}

/// Merges files that cannot be merged, and returns the error, which is one line.
fn merge_error(files: &[String]) -> String {
    let output = report(files, &["--json"]);
    let stderr = stderr(&output);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{stderr}");
    assert!(stderr.starts_with("error: ") && stderr.lines().count() == 1, "{stderr}");
    stderr
}

#[test]
fn different_plans_are_refused_with_all_their_differences() {
    let mut files = clients(
        "plans",
        &[
            &["-n", "5"],
            &["-n", "5", "-s", "48"],
            &["-n", "6"],
            &["-n", "5", "--rate", "10k"],
            &["-n", "5", "--verify", "length"],
            &["-n", "5", "--reconnect-every", "2"],
            &["-n", "5", "--close", "rst"],
            &["-n", "6", "--close", "rst", "-s", "48", "--pipeline", "2", "--rate", "10k"],
        ],
    );
    let first = files.remove(0);
    let differences = [
        "size is 24 in one and 48 in the other",
        "messages are 5 in one and 6 in the other",
        "loop is \"closed\" in one and \"open\" in the other, rate none and 10000 (",
        "verify is \"full\" in one and \"length\" in the other",
        "reconnect_every is none in one and 2 in the other",
        "close is \"fin\" in one and \"rst\" in the other",
        "loop is \"closed\" in one and \"open\" in the other, rate none and 10000, size 24 and 48, \
         pipeline 1 and 2, messages 5 and 6, close \"fin\" and \"rst\" (`client compare`",
    ];
    for (other, difference) in files.into_iter().zip(differences) {
        let error = merge_error(&[first.clone(), other.clone()]);
        assert!(error.contains(difference) && error.contains(&other), "{error}");
    }
}

#[test]
fn a_report_merges_no_different_servers_and_points_to_compare() {
    let servers = [(); 2].map(|()| Running::echo(config(Framing::Raw)));
    let folder = folder("servers");
    let files = servers.each_ref().map(|server| {
        let file = folder.join(server.address.port().to_string()).display().to_string();
        let output = run(server.address, &["-n", "5", "--json", "-o", &file]);
        assert!(output.status.success(), "{output:?}");
        file
    });
    let error = merge_error(&files);
    let reason = format!(
        "they are of different servers: {} in one, {} in the other (`client compare` compares them)",
        servers[0].address, servers[1].address
    );
    assert!(error.contains(&reason) && error.contains(&files[1]), "{error}");
    // As of a client on another host, whose server is there.
    let mut elsewhere = read(&files[1]);
    let target = servers[0].address.to_string();
    let host = elsewhere["environment"]["host"].as_str().expect("a name").to_owned();
    elsewhere["plan"]["targets"] = vec![target.clone()].into();
    elsewhere["environment"]["host"] = "elsewhere".into();
    let other = folder.join("elsewhere").display().to_string();
    fs::write(&other, elsewhere.to_string()).expect("a file");
    let error = merge_error(&[files[0].clone(), other]);
    let reason = format!("{target} on {host} in one, {target} on elsewhere in the other");
    assert!(error.contains(&reason), "{error}");
    // Results that an earlier version has merged can still be read, and merged with their like.
    let both = servers.each_ref().map(|it| it.address.to_string());
    for (file, targets) in files.iter().zip([[0, 1], [1, 0]]) {
        let mut merged = read(file);
        merged["plan"]["targets"] = targets.map(|number| both[number].clone()).to_vec().into();
        fs::write(file, merged.to_string()).expect("a file");
        assert_eq!(report(&[file], &[]).status.code(), Some(0));
    }
    assert_eq!(merged(&files).number("messages"), 300);
}

#[test]
fn files_that_are_no_results_are_refused_by_name() {
    let (folder, files) = (folder("none"), clients("none", &[&["-n", "5"]]));
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let good = fs::read_to_string(&files[0]).expect("a file");
    let half = &good[..good.len() / 2];
    let encoded = read(&files[0])["histogram"].as_str().expect("a string").to_owned();
    let (bad, cut) = (good.replace(&encoded, "!!"), good.replace(&encoded, &encoded[..8]));
    for (name, text) in [
        ("empty", ""),
        ("text", "hello"),
        ("other", "{}"),
        ("half", half),
        ("bad", &bad),
        ("cut", &cut),
    ] {
        let error = merge_error(&[files[0].clone(), write(name, text)]);
        assert!(error.contains(&format!("{name} has no results of client --json")), "{error}");
    }
    let error = merge_error(&[folder.join("missing").display().to_string()]);
    assert!(error.contains("missing: No such file"), "{error}");
    assert_eq!(report(&[""; 0], &[]).status.code(), Some(2));
}

#[test]
fn fail_if_and_exit_codes_apply_to_merged_results() {
    let files = clients("conditions", &[&["-c", "2", "-n", "50"][..]; 2]);
    let code = |files: &[String], flags: &[&str]| report(files, flags).status.code();
    assert_eq!(code(&files[..1], &["--fail-if", "messages>100"]), Some(0));
    assert_eq!(code(&files, &["--fail-if", "messages>100"]), Some(3));
    assert_eq!(code(&files, &["--fail-if", "messages<200,p50>=1h"]), Some(0));
    let with = |key: &str, value: Value| {
        let mut result = read(&files[0]);
        result[key] = value;
        let path = folder("conditions").join(key).display().to_string();
        fs::write(&path, result.to_string()).expect("a file");
        [files[1].clone(), path]
    };
    let failed = with("errors", 1.into());
    assert_eq!(code(&failed, &["--fail-if", "messages>1"]), Some(1));
    let interrupted = with("interrupted", true.into());
    assert_eq!(code(&interrupted, &["--fail-if", "messages>1"]), Some(130));
    let text = String::from_utf8(report(&files, &[]).stdout).expect("a text");
    assert!(text.starts_with("2 clients, 4 connections"), "{text}");
}

/// Results of earlier versions have no `not_closed` and no `close`, and were strict.
#[test]
fn connections_that_were_not_closed_are_summed_and_old_results_can_be_read() {
    let files = clients("not-closed", &[&["-c", "2", "-n", "5", "--close", "strict"][..]; 3]);
    for (file, count) in files.iter().zip([Some(2), Some(3), None]) {
        let mut result = read(file);
        match count {
            Some(count) => result["not_closed"] = Value::from(count),
            None => {
                let fields = result.as_object_mut().expect("an object");
                fields.remove("not_closed").expect("a number");
                fields["plan"].as_object_mut().expect("it").remove("close").expect("a name");
            }
        }
        fs::write(file, result.to_string()).expect("a file");
    }
    let all = merged(&files);
    assert_eq!((all.code, all.number("not_closed"), all.number("messages")), (0, 5, 30));
    let output = report(&files, &["--fail-if", "not_closed>4"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(text.contains("; 5 not closed by the server"), "{text}");
}

#[test]
fn duplicate_and_impossible_results_are_refused() {
    let server = Running::echo(config(Framing::Raw));
    let file = format!("{}/once.json", env!("CARGO_TARGET_TMPDIR"));
    let output = run(server.address, &["-c", "1", "-n", "5", "--json", "-o", &file]);
    assert!(output.status.success());
    let error = |files: &[&str]| {
        let output = report(files, &[]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
        stderr(&output)
    };
    assert!(error(&[&file, &file]).contains("its results are among the others already"));
    let text = fs::read_to_string(&file).expect("a file");
    for (right, wrong) in [
        ("\"messages\": 5,", "\"messages\": 6,"),
        ("\"step_seconds\": 0.1", "\"step_seconds\": 0.0"),
        ("\"ended\": 1", "\"ended\": 1e300"),
    ] {
        assert!(text.contains(right), "{right} in {text}");
        let other = format!("{}/wrong.json", env!("CARGO_TARGET_TMPDIR"));
        fs::write(&other, text.replacen(right, wrong, 1)).expect("a file");
        let error = error(&[&other]);
        assert!(error.contains("wrong.json has no results of client --json"), "{error}");
    }
}
