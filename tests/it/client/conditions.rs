//! `--fail-if` compares what its text says.

use std::fs;
use std::process::{Command, Output};

use base64::Engine;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2Serializer};
use reactor_server::Framing;

use crate::support::client::{CLIENT, run, run_json};
use crate::support::running::{Running, config};
use crate::support::temporary;

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The results of one message that took this long.
fn results_with_latency(nanoseconds: u64) -> String {
    let server = Running::echo(config(Framing::Raw));
    let mut json = run_json(server.address, &["-c", "1", "-n", "1"]).json;
    let mut histogram = Histogram::<u64>::new(3).expect("a histogram");
    histogram.record(nanoseconds).expect("it fits");
    let mut bytes = Vec::new();
    V2Serializer::new().serialize(&histogram, &mut bytes).expect("it can be written");
    json["histogram"] = base64::engine::general_purpose::STANDARD.encode(bytes).into();
    let file = temporary(&format!("latency-{nanoseconds}.json"));
    fs::write(&file, json.to_string()).expect("a file");
    file.display().to_string()
}

fn report(file: &str, flags: &[&str]) -> Output {
    Command::new(CLIENT).args(["report", file]).args(flags).output().expect("it runs")
}

#[test]
fn the_limit_of_a_condition_is_the_sum_of_its_terms() {
    let file = results_with_latency(2_300_000);
    for (condition, code) in [
        ("p50>2ms200us", 3),
        ("p50>2ms 400us", 0),
        ("max>=2.2ms", 3),
        ("max<2ms200us", 0),
        ("mean<1m2s3ms", 3),
        ("p99.9>0.0022s", 3),
    ] {
        let output = report(&file, &["--fail-if", condition]);
        assert_eq!(output.status.code(), Some(code), "{condition}: {output:?}");
    }
}

#[test]
fn a_condition_on_opened_connections_fails_a_run_with_too_few() {
    let server = Running::echo(config(Framing::Raw));
    let output = run(server.address, &["-c", "7", "-n", "1", "--fail-if", "opened<8"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(stderr(&output).contains("--fail-if opened<8 came true: it is 7"), "{output:?}");
    let enough = run(server.address, &["-c", "7", "-n", "1", "--fail-if", "opened<7,opened>7"]);
    assert_eq!(enough.status.code(), Some(0), "{enough:?}");
}

#[test]
fn a_hold_alone_has_the_replies_to_its_last_echoes() {
    let server = Running::echo(config(Framing::Raw));
    let report = run_json(server.address, &["-c", "3", "--hold", "10ms", "--fail-if", "opened<3"]);
    assert_eq!((report.code, report.number("messages")), (0, 3), "{report:?}");
}
