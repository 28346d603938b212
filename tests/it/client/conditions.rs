//! `--fail-if` compares what its text says, and a run without a reply never passes.

use std::fs;

use hdrhistogram::Histogram;
use reactor_server::Framing;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::client::{
    ClientProcess, client, encoded, report, run, run_json, stderr, written,
};
use crate::support::fake_server::responding;
use crate::support::running::{Running, config};
use crate::support::{temporary, unused_address};

/// The results of one message that took this long.
fn results_with_latency(nanoseconds: u64) -> String {
    let server = Running::echo(config(Framing::Raw));
    let mut json = run_json(server.address, &["-c", "1", "-n", "1"]).json;
    let mut histogram = Histogram::<u64>::new(3).expect("a histogram");
    histogram.record(nanoseconds).expect("it fits");
    json["histogram"] = encoded(&histogram);
    written(&format!("latency-{nanoseconds}.json"), &json)
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
        let output = report(&[&file], &["--fail-if", condition]);
        assert_eq!(output.status.code(), Some(code), "{condition}: {output:?}");
    }
}

#[test]
fn a_condition_on_opened_connections_fails_a_run_with_too_few() {
    let server = Running::echo(config(Framing::Raw));
    let output = run(server.address, &["-c", "7", "-n", "1", "--fail-if", "opened<8"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(stderr(&output).contains("--fail-if opened<8 came true: it is 7\n"), "{output:?}");
    let enough = run(server.address, &["-c", "7", "-n", "1", "--fail-if", "opened<7,opened>7"]);
    assert_eq!(enough.status.code(), Some(0), "{enough:?}");
}

#[test]
fn a_run_without_a_reply_is_an_error() {
    let server = Running::echo(config(Framing::Raw));
    let none = "error: no message was answered\n";
    for (mode, error) in [
        (&[][..], none),
        (&["--rate", "1k"], none),
        (&["--verify", "off"], none),
        (&["--warmup", "10ms"], "error: no message was answered after the warm-up\n"),
    ] {
        let file = temporary("no-reply.json").display().to_string();
        let flags = [&["-c", "2", "-d", "1us", "--json", "-o", &file], mode].concat();
        let output = run(server.address, &flags);
        let json: Value = serde_json::from_slice(&fs::read(&file).expect("a file")).expect("json");
        // Nothing failed, because nothing was sent.
        assert_eq!((&json["messages"], &json["errors"]), (&0.into(), &0.into()), "{json}");
        for output in [output, report(&[&file], &["-o", "/dev/null"])] {
            assert_eq!(output.status.code(), Some(1), "{mode:?}: {output:?}");
            assert_eq!(stderr(&output), error, "{mode:?}");
        }
        assert!(json["latency_us"].as_object().expect("it").values().all(Value::is_null), "{json}");
    }
}

#[test]
fn a_run_that_failed_or_was_interrupted_has_that_as_its_reason() {
    let refused = run(unused_address(), &["-c", "2", "-n", "5", "--json"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(!stderr(&refused).contains("no message was answered"), "{refused:?}");
    let silent = ClientProcess::start(client(responding(|_, _| {}), &["-c", "1", "-n", "5"]));
    silent.wait_until_signals_are_blocked();
    silent.signal(Signal::INT);
    let output = silent.output();
    assert_eq!((output.status.code(), stderr(&output)), (Some(130), String::new()), "{output:?}");
}

#[test]
fn a_hold_alone_has_the_replies_to_its_last_echoes() {
    let server = Running::echo(config(Framing::Raw));
    let report = run_json(server.address, &["-c", "3", "--hold", "10ms", "--fail-if", "opened<3"]);
    assert_eq!((report.code, report.number("messages")), (0, 3), "{report:?}");
}
