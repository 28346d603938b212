//! `client report` reads files that others wrote: what they hold is shown, and acts on nothing.

use std::fs;

use reactor_server::Framing;
use serde_json::{Value, json};

use crate::support::client::{report, run_json, stderr, written};
use crate::support::running::{Running, config};
use crate::support::temporary;

/// The results of 10 messages, in an open loop, with a server's costs.
fn results() -> Value {
    let server = Running::echo(config(Framing::Raw));
    let pid = std::process::id().to_string();
    let flags = ["-c", "2", "-n", "5", "--rate", "10k", "--server-pid", &pid];
    run_json(server.address, &flags).json
}

/// Clears the screen, rings, begins a line, does the same in C1, and turns text around.
const ACTS: &str = "\x1b[2J\x07\r\nnote      forged\u{9b}2J\u{7f}\u{202e}\u{2028}";

/// Asserts that each of its lines only shows characters.
fn assert_harmless(output: &[u8]) {
    let text = str::from_utf8(output).expect("UTF-8");
    let acts = |it: char| (it.is_control() && it != '\n') || "\u{202e}\u{2028}".contains(it);
    assert!(!text.contains(acts), "{text:?}");
    assert!(!text.lines().any(|line| line.starts_with("note      forged")), "{text:?}");
}

#[test]
fn control_characters_of_a_file_are_printed_as_escapes() {
    let mut json = results();
    for key in ["host", "kernel", "version", "command", "cpu_model", "started"] {
        json["environment"][key] = ACTS.into();
    }
    json["environments"] = json!([json["environment"]]);
    for key in ["framing", "verify", "reply_prefix"] {
        json["plan"][key] = ACTS.into();
    }
    json["plan"]["targets"] = json!([ACTS]);
    json["complaints"] = json!({ ACTS: 3 });
    json["connections"]["failures"] = json!({ ACTS: 2 });
    json["server"]["processes"] = json!({ ACTS: { "user": 1, "system": 1 } });
    let file = written("control.json", &json);
    let page = temporary("control.html").display().to_string();
    let text = report(&[&file], &["--html", &page]);
    assert_eq!(text.status.code(), Some(0), "{text:?}");
    let json_again = report(&[&file], &["--json"]);
    for output in [&text.stdout, &json_again.stdout, &fs::read(&page).expect("a page")] {
        assert_harmless(output);
        assert!(String::from_utf8_lossy(output).contains("\\u001b[2J"), "it is not shown");
    }
    // The JSON has the same texts as before.
    let again: Value = serde_json::from_slice(&json_again.stdout).expect("an object");
    for key in ["environment", "environments", "complaints", "plan"] {
        assert_eq!(again[key], json[key], "{key}");
    }
}

#[test]
fn control_characters_in_errors_are_printed_as_escapes() {
    let json = results();
    let mut other = json.clone();
    other["plan"]["framing"] = ACTS.into();
    let mut unknown = json.clone();
    unknown["messages"] = ACTS.into();
    let named = format!("name{ACTS}.json").replace('/', "");
    let (one, other) = (written("plain.json", &json), written(&named, &other));
    let unknown = written("unknown.json", &unknown);
    let missing = format!("/no/{ACTS}");
    for (files, flags) in [
        (&[&one, &other][..], &[][..]),
        (&[&unknown], &[]),
        (&[&missing], &[]),
        (&[&one], &["-o", &missing]),
        (&[&one], &["--html", &missing]),
    ] {
        let output = report(files, flags);
        assert_eq!(output.status.code(), Some(1), "{files:?} {flags:?}: {output:?}");
        assert_harmless(&output.stderr);
        let stderr = stderr(&output);
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("error: "), "{stderr}");
    }
}

/// The places of all numbers in it.
fn numbers(value: &Value, place: &str) -> Vec<String> {
    match value {
        Value::Number(_) => vec![place.to_owned()],
        Value::Array(values) => (values.iter().enumerate())
            .flat_map(|(index, it)| numbers(it, &format!("{place}/{index}")))
            .collect(),
        Value::Object(fields) => {
            (fields.iter()).flat_map(|(key, it)| numbers(it, &format!("{place}/{key}"))).collect()
        }
        _ => Vec::new(),
    }
}

/// Whichever number of a file is wrong: it is refused, or it is one that is calculated from
/// others and not read.
#[test]
fn numbers_out_of_range_are_refused_wherever_they_are() {
    let json = results();
    let calculated = [
        "/rate",
        "/bytes_per_second",
        "/clients",
        "/latency_",
        "/connect_us",
        "/cpu_us_per_message",
        "/p50_seconds",
    ];
    let places: Vec<_> = numbers(&json, "")
        .into_iter()
        .filter(|place| !calculated.iter().any(|it| place.contains(it)) || place == "/plan/rate")
        .collect();
    assert!(places.len() > 20, "{places:?}");
    for place in places {
        for wrong in [json!(u64::MAX), json!(-1), json!(1e300)] {
            let mut other = json.clone();
            *other.pointer_mut(&place).expect("it is there") = wrong.clone();
            let output = report(&[written("range.json", &other)], &["--json"]);
            let stderr = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{place} {wrong}: {output:?}");
            assert!(stderr.contains("range.json has no results of client --json"), "{stderr}");
            assert_eq!((stderr.lines().count(), output.stdout.len()), (1, 0), "{stderr}");
        }
    }
}

#[test]
fn sums_that_are_too_large_are_refused() {
    let (mut one, largest) = (results(), json!(1_u64 << 53));
    let mut other = one.clone();
    other["environment"]["pid"] = 1.into();
    for place in ["/bytes_sent", "/unsent", "/connections/opened", "/plan/threads", "/client/user"]
    {
        for file in [&mut one, &mut other] {
            *file.pointer_mut(place).expect("it is there") = largest.clone();
        }
        let files = [written("large-1.json", &one), written("large-2.json", &other)];
        let alone = report(&files[..1], &["--json"]);
        assert_eq!(alone.status.code(), Some(0), "{place}: {alone:?}");
        let both = report(&files, &["--json"]);
        let stderr = stderr(&both);
        assert_eq!((both.status.code(), both.stdout.len()), (Some(1), 0), "{place}: {both:?}");
        assert!(
            stderr.contains("large-2.json: a number of it is negative or too large"),
            "{stderr}"
        );
        for file in [&mut one, &mut other] {
            *file.pointer_mut(place).expect("it is there") = 1.into();
        }
    }
}

/// Its header alone announces 4 GiB of counts.
#[test]
fn a_histogram_that_is_not_ours_is_refused() {
    use base64::Engine;
    let base64 = base64::engine::general_purpose::STANDARD;
    let json = results();
    let bytes = base64.decode(json["histogram"].as_str().expect("a string")).expect("base64");
    let change = |at: usize, to: &[u8]| {
        let mut changed = bytes.clone();
        changed[at..at + to.len()].copy_from_slice(to);
        changed
    };
    let longer = change(4, &u32::MAX.to_be_bytes());
    let digits = change(12, &5_u32.to_be_bytes());
    for wrong in [longer, digits, bytes[..39].to_vec(), bytes[..6].to_vec(), Vec::new()] {
        let mut other = json.clone();
        other["histogram"] = base64.encode(wrong).into();
        let output = report(&[written("histogram.json", &other)], &[]);
        let stderr = stderr(&output);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{stderr}");
        assert!(stderr.contains("no HdrHistogram V2"), "{stderr}");
    }
}

#[test]
fn results_that_took_no_time_have_finite_rates() {
    let mut json = results();
    for seconds in [json!(0.0), json!(5e-324)] {
        json["seconds"] = seconds;
        let output = report(&[written("no-time.json", &json)], &["--json"]);
        let again: Value = serde_json::from_slice(&output.stdout).expect("an object");
        assert!(again["rate"].as_f64().is_some_and(f64::is_finite), "{again}");
        let text = report(&[written("no-time.json", &json)], &[]);
        let text = String::from_utf8(text.stdout).expect("text");
        assert!(!text.contains("inf") && !text.contains("NaN"), "{text}");
    }
}
