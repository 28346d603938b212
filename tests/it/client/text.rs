//! The results as text: for people, one style of numbers, and no line that a terminal breaks.

use std::process::Command;

use hdrhistogram::Histogram;
use reactor_server::Framing;
use serde_json::{Value, json};

use crate::support::client::{CLIENT, client, compare, encoded, report, run, run_json, written};
use crate::support::running::{Running, config};
use crate::support::screen::shown;
use crate::support::unused_address;

/// The results of a run, with 10,000 latencies of 5 us to 2 s. In an open loop all of them are
/// 12 us from when the messages were sent.
fn results(flags: &[&str]) -> Value {
    let server = Running::echo(config(Framing::Raw));
    let mut json = run_json(server.address, &[&["-c", "2", "-n", "5"], flags].concat()).json;
    let mut histogram = Histogram::<u64>::new(3).expect("a histogram");
    for (nanos, count) in [
        (5_001, 5_000),
        (170_000, 4_000),
        (1_084_400, 900),
        (37_584_900, 90),
        (281_280_500, 9),
        (2_002_000_000, 1),
    ] {
        histogram.record_n(nanos, count).expect("it fits");
    }
    json["messages"] = 10_000.into();
    json["histogram"] = encoded(&histogram);
    if !json["histogram_raw"].is_null() {
        let mut raw = Histogram::<u64>::new(3).expect("a histogram");
        raw.record_n(12_000, 10_000).expect("it fits");
        json["histogram_raw"] = encoded(&raw);
    }
    json
}

fn text(file: &str, flags: &[&str]) -> String {
    let output = report(&[file], flags);
    String::from_utf8(output.stdout).expect("a text")
}

/// The lines of a text from the one that begins with this name, up to the next name.
fn section<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let lines = text.lines().skip_while(|line| !line.starts_with(name));
    let first = lines.clone().take(1);
    first.chain(lines.skip(1).take_while(|line| line.starts_with(' '))).collect()
}

#[test]
fn percentiles_are_one_a_line_in_the_unit_that_fits() {
    let mut json = results(&[]);
    json["seconds"] = 0.5.into();
    (json["bytes_sent"], json["bytes_received"]) = (json!(1_234_567), json!(999));
    let text = text(&written("text-closed.json", &json), &[]);
    assert_eq!(
        section(&text, "latency "),
        [
            "latency   service time, not corrected (closed loop)",
            "          p50         5.00 us",
            "          p90          170 us",
            "          p95         1.08 ms",
            "          p99         1.08 ms",
            "          p99.9       37.6 ms",
            "          p99.99       281 ms",
            "          max          2.00 s",
            "          mean         960 us",
        ]
    );
    assert!(text.contains("messages  10,000 in 0.500 s, 20,000 per second, 0 mism"), "{text}");
    assert!(text.contains("bytes     1,234,567 sent, 999 received\n"), "{text}");
}

#[test]
fn an_open_loop_has_both_latencies_beside_each_other() {
    let file = written("text-open.json", &results(&["--rate", "10k"]));
    let text = text(&file, &["--percentiles", "50,99.999"]);
    assert_eq!(
        section(&text, "latency "),
        [
            "latency   from when a message was due (corrected) and from when it was sent (raw)",
            "                    corrected        raw",
            "          p50         5.00 us    12.0 us",
            "          p99.999      2.00 s    12.0 us",
            "          max          2.00 s    12.0 us",
            "          mean         960 us    12.0 us",
        ]
    );
    assert!(text.contains(": open loop, 10,000 per second, raw, "), "{text}");
}

#[test]
fn refused_connections_are_one_line() {
    let address = unused_address();
    let output = run(address, &["-c", "30", "-n", "5"]);
    let text = String::from_utf8(output.stdout).expect("a text");
    let why = "cannot connect: Connection refused (os error 111)";
    assert_eq!(text, format!("error     {address}: 30 x {why}\n"));
    assert_eq!((output.status.code(), output.stderr.len()), (Some(1), 0));
    // In the JSON is all of it.
    let json = run_json(address, &["-c", "30", "-n", "5"]).json;
    assert_eq!((&json["connections"]["failed"], &json["messages"]), (&json!(30), &json!(0)));
}

#[test]
fn a_condition_shows_what_it_compared() {
    let file = written("text-condition.json", &results(&[]));
    let output = report(&[&file], &["--fail-if", "p95>1084us,messages>=10k"]);
    let stderr = String::from_utf8(output.stderr).expect("a text");
    assert!(stderr.contains("p95>1084us came true: it is 1.0844"), "{stderr}");
    assert!(stderr.contains("messages>=10k came true: it is 10,000\n"), "{stderr}");
}

#[test]
fn a_terminal_shows_a_comparison_in_80_columns() {
    let one = results(&[]);
    let file = |number: u32| {
        let mut run = one.clone();
        run["environment"]["pid"] = number.into();
        (run["plan"]["payload"], run["seconds"]) =
            (json!("word ".repeat(12).trim()), json!(0.5 / f64::from(number)));
        written(&format!("text-compared-{number}.json"), &run)
    };
    let names = ["reactor-server", "another-server"];
    let words: Vec<_> = (1..9)
        .map(|number: u32| format!("{}={}", names[number as usize % 2], file(number)))
        .collect();
    let plain = compare(&words, &[]).output().expect("it runs");
    let plain = String::from_utf8(plain.stdout).expect("a text");
    assert!(plain.lines().any(|line| line.chars().count() > 80), "{plain}");
    let mut command = compare(&words, &[]);
    command.env("TERM", "xterm").env("NO_COLOR", "1");
    let shown = shown(command);
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&shown), words(&plain));
    // Its tables are as they are elsewhere.
    let rows = |text: &str| text.lines().filter(|it| it.contains("-server  ")).count();
    assert_eq!((rows(&shown), shown.contains("\nnote      all ")), (8, true), "{shown}");
    assert!(shown.contains(" 100,000/s  (40,000/s to 160,000/s)  1."), "{shown}");
}

/// A `client report` that runs as on a terminal of an interactive shell.
fn report_of(file: &str, flags: &[&str]) -> Command {
    let mut command = Command::new(CLIENT);
    command.args(["report", file]).args(flags).env("TERM", "xterm").env_remove("NO_COLOR");
    command
}

#[test]
fn a_terminal_shows_colours_and_no_line_of_more_than_80_columns() {
    let mut json = results(&["--close", "strict"]);
    json["complaints"] = json!({ "wrong bytes: ".to_owned() + &"at 4 ".repeat(40): 1_000 });
    let file = written("text-terminal.json", &json);
    let plain = text(&file, &[]);
    assert!(plain.lines().any(|line| line.chars().count() > 200), "{plain}");
    let with = |name: &str, value: &str| {
        let mut command = report_of(&file, &[]);
        command.env(name, value);
        shown(command)
    };
    let (coloured, uncoloured) = (with("NO_COLOR", ""), with("NO_COLOR", "1"));
    assert!(coloured.contains("\x1b[1m\x1b[31merror\x1b[0m     1,000 x wrong"), "{coloured}");
    assert!(coloured.contains("\x1b[1mmessages\x1b[0m  10,000 in "), "{coloured}");
    let without = coloured.replace("\x1b[1m", "").replace("\x1b[31m", "").replace("\x1b[0m", "");
    assert_eq!(without.replace("\x1b[33m", ""), uncoloured);
    assert!(uncoloured.lines().all(|line| line.chars().count() <= 80), "{uncoloured}");
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&uncoloured), words(&plain));
    assert_eq!(with("TERM", "dumb"), uncoloured);
}

#[test]
fn json_on_a_terminal_lacks_the_histograms() {
    let file = written("text-json.json", &results(&["--rate", "10k"]));
    let mut whole: Value = serde_json::from_str(&text(&file, &["--json"])).expect("an object");
    let shown = shown(report_of(&file, &["--json"]));
    assert!(!shown.contains('\x1b'), "{shown}");
    let fields = whole.as_object_mut().expect("an object");
    for key in ["histogram", "histogram_raw", "connect_histogram", "histogram_unit"] {
        fields.remove(key).expect(key);
    }
    fields["timeline"].as_object_mut().expect("an object").remove("histograms").expect("it");
    fields["outages"].as_object_mut().expect("an object").remove("histogram").expect("it");
    assert_eq!(serde_json::from_str::<Value>(&shown).expect("an object"), whole);
}

#[test]
fn a_load_writes_to_a_terminal_as_a_report_does() {
    let server = Running::echo(config(Framing::Raw));
    let mut command = client(server.address, &["-c", "2", "-n", "5", "-q"]);
    command.env("TERM", "xterm").env_remove("NO_COLOR");
    let shown = shown(command);
    assert!(shown.contains("\x1b[1mopened\x1b[0m    2 in "), "{shown}");
}
