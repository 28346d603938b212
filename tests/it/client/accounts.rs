//! A run accounts for all of its time and for every failure: neither a rate nor an error looks
//! better than it was.

use std::io::Read;
use std::thread;
use std::time::Instant;

use reactor_server::Framing;
use serde_json::json;

use crate::support::client::{
    ClientProcess, JsonReport, client, report as merge, run, run_json, written,
};
use crate::support::fake_server::{echo, send, server};
use crate::support::running::{Running, config};
use crate::support::streams::reset;

fn seconds(report: &JsonReport) -> f64 {
    report.json["seconds"].as_f64().expect("a number")
}

fn text(output: &std::process::Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("a text")
}

/// It would be 20,000 per second over the time in which replies arrived.
#[test]
fn the_time_spent_waiting_for_replies_that_never_arrive_counts() {
    let stalling = server(|_, stream| {
        let mut stream = echo(stream, 20);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    // A server that is late by less than the timeout is not one that stalls.
    let flags = ["-c", "2", "-n", "100", "--timeout", "2s"];
    let process = ClientProcess::start(client(stalling, &flags));
    let report = run_json(stalling, &flags);
    assert_eq!((report.number("messages"), report.number("errors")), (40, 2), "{report:?}");
    assert!((2.0..7.0).contains(&seconds(&report)), "{report:?}");
    assert!(report.json["rate"].as_f64() <= Some(20.0), "{report:?}");
    let text = text(&process.output());
    assert!(text.contains("messages  40 of 200 in "), "{text}");
    assert!(!text.contains("bottleneck"), "{text}");
}

#[test]
fn the_rate_is_that_of_the_whole_duration_even_if_no_connection_is_left() {
    let resetting = || server(|_, stream| reset(echo(stream, 20)));
    for (flags, threads) in [(&[][..], "1"), (&[], "2"), (&["--rate", "1k"], "2")] {
        let flags = [&["-c", "3", "-d", "1m", "--threads", threads], flags].concat();
        let report = run_json(resetting(), &flags);
        assert_eq!((report.code, report.number("errors")), (1, 3), "{report:?}");
        assert_eq!(seconds(&report), 60.0, "{report:?}");
        assert_eq!(report.json["rate"], report.number("messages") as f64 / 60.0, "{report:?}");
        let ended = report.json["ended_early_seconds"].as_f64();
        assert!(ended.is_some_and(|ended| (0.0..5.0).contains(&ended)), "{report:?}");
        let text = text(&run(resetting(), &flags));
        let note = text.lines().find(|line| line.contains("no connection was left after "));
        assert!(note.is_some_and(|it| it.ends_with("the rate is that of all 60.000 s")), "{text}");
    }
}

#[test]
fn a_run_that_lasts_for_its_duration_did_not_end_early() {
    let server = Running::echo(config(Framing::Raw));
    let address = server.address;
    thread::scope(|scope| {
        for flags in
            [&["-c", "3"][..], &["--rate", "100"], &["--hold", "10ms"], &["--threads", "3"]]
        {
            scope.spawn(move || {
                let report = run_json(address, &[&["-d", "1s"], flags].concat());
                assert_eq!((report.code, seconds(&report) >= 1.0), (0, true), "{report:?}");
                assert_eq!(report.json["ended_early_seconds"], json!(null), "{report:?}");
            });
        }
    });
    // The messages are sent long before the duration is over.
    let report = run_json(server.address, &["-c", "3", "-d", "1m", "-n", "10"]);
    assert!(seconds(&report) < 30.0, "{report:?}");
    assert_eq!(report.json["ended_early_seconds"], json!(null), "{report:?}");
}

/// CPU time is compared with the time in which it was used.
#[test]
fn a_client_that_waits_is_not_busy() {
    let server = Running::echo(config(Framing::Raw));
    let began = Instant::now();
    let report = run_json(server.address, &["-c", "1", "-n", "100", "--hold", "500ms"]);
    let without_hold = began.elapsed().as_secs_f64() - 0.5;
    let span = report.json["cpu_span_seconds"].as_f64().expect("a number");
    assert!((0.0..without_hold).contains(&span), "{without_hold}: {report:?}");
    let mut json = report.json;
    json["client"] = json!({ "user": 0.3, "system": 0.2 });
    let note = |span: f64| {
        json["cpu_span_seconds"] = span.into();
        text(&merge(&[written("busy.json", &json)], &[])).contains("were busy")
    };
    assert_eq!([10.0, 0.5].map(note), [false, true]);
}

#[test]
fn different_mismatches_hide_no_other_error() {
    let lying = server(|number, stream| {
        // The others come when there are many mismatches already.
        let is_lying = number % 2 == 0;
        let mut stream = echo(stream, if is_lying { 1 } else { 50 } + number / 2);
        let mut message = [0; 24];
        if is_lying && stream.read_exact(&mut message).is_ok() {
            message[0] ^= 1;
            send(&mut stream, &message);
        }
        reset(stream);
    });
    let flags = ["-c", "100", "-n", "100"];
    let lied = run_json(lying, &flags);
    assert_eq!((lied.number("mismatches"), lied.number("errors")), (50, 50), "{lied:?}");
    let complaints = lied.complaints();
    assert!(complaints.len() < 20, "{complaints:?}");
    assert_eq!(complaints.iter().map(|(_, times)| times).sum::<u64>(), 100, "{complaints:?}");
    let of = |start: &str| -> u64 {
        complaints.iter().filter(|(text, _)| text.starts_with(start)).map(|(_, times)| times).sum()
    };
    assert_eq!((of("wrong bytes: "), of("the connection broke: Conn")), (50, 50), "{complaints:?}");
    let again = merge(&[written("kinds.json", &lied.json)], &["--json"]);
    assert_eq!(JsonReport::of(&again).complaints(), complaints);
}
