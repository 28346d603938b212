//! With `--on-error reconnect` a load survives the loss of its connections, and accounts for each
//! message and for each moment without a connection.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use reactor_server::{Config, Framing};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::client::{
    ClientProcess, JsonReport, client, report as merge, run_json, written,
};
use crate::support::fake_server::{echo, send, server};
use crate::support::running::{Running, config};
use crate::support::server::ServerProcess;
use crate::support::streams::reset;

const RECONNECT: [&str; 3] = ["--on-error", "reconnect", "--json"];
/// Has the client print how many connections are open, ten times a second.
const LINES: [&str; 2] = ["--interval", "100ms"];
const REFUSED: &str = "Connection refused (os error 111)";

fn start(target: SocketAddr, flags: &[&str]) -> ClientProcess {
    ClientProcess::start(client(target, &[&RECONNECT, flags].concat()))
}

fn run(target: SocketAddr, flags: &[&str]) -> JsonReport {
    start(target, flags).report()
}

fn outages(report: &JsonReport, key: &str) -> f64 {
    report.json["outages"][key].as_f64().unwrap_or_else(|| panic!("no {key} in {report:?}"))
}

/// How many outages there were, and how many of them ended.
fn counts(report: &JsonReport) -> (f64, f64) {
    (outages(report, "count"), outages(report, "reconnects"))
}

/// Asserts that every message sent has a verified reply or is counted as one that has none. The
/// bytes of one are not, if its connection was lost before the kernel took them.
fn assert_accounted(report: &JsonReport) {
    let (messages, unanswered) = (report.number("messages"), report.number("unanswered"));
    let sent = 24 * messages..=24 * (messages + unanswered);
    assert!(sent.contains(&report.number("bytes_sent")), "{sent:?}: {report:?}");
    assert_eq!(report.number("bytes_received"), 24 * messages, "{report:?}");
}

/// Echoes `count` messages, then resets the connection. Returns those that it has seen.
fn resetting(count: usize) -> (SocketAddr, Arc<Mutex<Vec<[u8; 24]>>>) {
    let seen: Arc<Mutex<Vec<[u8; 24]>>> = Arc::default();
    let all = Arc::clone(&seen);
    let address = server(move |_, mut stream: TcpStream| {
        let mut message = [0; 24];
        for _ in 0..count {
            if stream.read_exact(&mut message).is_err() {
                return;
            }
            all.lock().expect("no panic").push(message);
            send(&mut stream, &message);
        }
        reset(stream);
    });
    (address, seen)
}

/// Waits until a client with [`LINES`] has lost all of its connections.
fn wait_until_all_are_lost(process: &ClientProcess) {
    process.wait_for_stderr("  0 connections  0 per second");
}

/// Kills a server under a load with these flags, and starts it again on its port after a second.
/// Returns how many seconds an outage must have lasted, and how many it can have at most.
fn report_of_outage(flags: &[&str]) -> (JsonReport, Range<f64>) {
    let mut server = ServerProcess::start(&["-t", "1"]);
    let flags = [&["-c", "10", "-d", "4s"], &LINES[..], flags].concat();
    let process = start(server.address, &flags);
    process.wait_for_stderr(" per second  p50 ");
    // So that a warm-up is over.
    thread::sleep(Duration::from_millis(300));
    let killed = Instant::now();
    server.kill();
    wait_until_all_are_lost(&process);
    let lost = Instant::now();
    thread::sleep(Duration::from_secs(1));
    let least = lost.elapsed().as_secs_f64();
    let _again = ServerProcess::start_at(server.address);
    let most = killed.elapsed().as_secs_f64();
    (process.report(), least..most)
}

#[test]
fn an_outage_of_a_second_is_reported_as_a_second() {
    thread::scope(|scope| {
        for flags in [
            &[][..],
            &["--rate", "1k", "--pipeline", "4"],
            &["--reconnect-every", "50", "--threads", "3"],
            &["--warmup", "100ms", "--rate", "500", "--threads", "2"],
        ] {
            scope.spawn(move || {
                let (report, took) = report_of_outage(flags);
                // A busy client may notice late that the server is back.
                let took = took.start..took.end + 1.5;
                assert_eq!((report.code, report.number("errors")), (0, 0), "{report:?}");
                assert_eq!(counts(&report), (10.0, 10.0), "{flags:?}: {report:?}");
                for key in ["p50_seconds", "max_seconds"] {
                    let length = outages(&report, key);
                    assert!(took.contains(&length), "{key} {length} of {took:?}: {report:?}");
                }
                let total = outages(&report, "total_seconds");
                assert!(took.contains(&(total / 10.0)), "{took:?}: {report:?}");
                let span = outages(&report, "ended") - outages(&report, "began");
                assert!(took.contains(&span), "{took:?}: {report:?}");
                let reasons = report.json["outages"]["reasons"].as_object().expect("reasons");
                let times: Option<u64> = reasons.values().map(Value::as_u64).sum();
                assert_eq!(times, Some(10), "{report:?}");
                assert!(report.json["connections"]["failures"][REFUSED].as_u64() > Some(10));
                assert!(report.json["seconds"].as_f64() >= Some(4.0), "{report:?}");
                assert_accounted(&report);
                if let Some(rate) = report.json["plan"]["rate"].as_u64() {
                    let unsent = report.number("unsent") + report.number("unanswered");
                    assert_eq!(report.number("messages") + unsent, rate * 4, "{report:?}");
                }
            });
        }
    });
}

/// Those that were unanswered when a connection was lost are not sent again.
#[test]
fn no_message_is_sent_twice_and_each_is_accounted_for() {
    for (flags, planned) in [
        (&["-c", "3", "-n", "100"][..], 300),
        (&["-c", "3", "-n", "100", "--pipeline", "5", "--threads", "2"], 300),
        (&["-c", "3", "-n", "100", "--reconnect-every", "30"], 300),
        (&["-c", "2", "-d", "500ms", "--rate", "400", "--warmup", "200ms"], 200),
    ] {
        let (address, seen) = resetting(20);
        let report = run(address, flags);
        let (messages, unanswered) = (report.number("messages"), report.number("unanswered"));
        let unsent = report.number("unsent");
        assert_eq!(messages + unanswered + unsent, planned, "{flags:?}: {report:?}");
        assert!(messages >= planned / 2 && report.number("mismatches") == 0, "{report:?}");
        assert!(outages(&report, "count") >= 6.0, "{report:?}");
        let seen = seen.lock().expect("no panic");
        let different: BTreeSet<_> = seen.iter().collect();
        assert_eq!(different.len(), seen.len(), "{flags:?}");
        // All are over but those of connections that had nothing left to send.
        let (count, over) = counts(&report);
        assert!(count - over <= 3.0 && report.number("errors") <= 3, "{report:?}");
        assert_eq!(report.code, i32::from(report.number("errors") > 0), "{report:?}");
    }
}

/// Kills a server under a load with these flags, and returns the report with the time that it
/// took to end.
fn report_of_end(flags: &[&str]) -> (JsonReport, f64) {
    let mut server = ServerProcess::start(&["-t", "1"]);
    let process = start(server.address, &[&["-c", "5", "--timeout", "300ms"], flags].concat());
    match flags.contains(&"--hold") {
        true => process.wait_for_stderr("holding 5 connections"),
        false => server.wait_until_busy(),
    }
    let killed = Instant::now();
    server.kill();
    let report = process.report();
    (report, killed.elapsed().as_secs_f64())
}

#[test]
fn a_server_that_stays_away_is_an_error_on_each_connection_and_the_run_ends() {
    thread::scope(|scope| {
        for flags in [
            &["-n", "1000000"][..],
            &["-n", "10", "--hold", "1h"],
            &["-d", "3s"],
            &["-d", "3s", "--rate", "1k", "--threads", "2"],
        ] {
            scope.spawn(move || {
                let (report, took) = report_of_end(flags);
                assert!((0.3..8.0).contains(&took), "{flags:?}: {took} {report:?}");
                report.assert_complaints(&[(&format!("cannot connect: {REFUSED}"), 5)]);
                // A machine that stalls may add outages, which end.
                let (count, over) = counts(&report);
                assert_eq!((count - over, report.number("errors")), (5.0, 5), "{report:?}");
                assert!(outages(&report, "max_seconds") >= 0.3, "{report:?}");
                assert!(outages(&report, "max_seconds") <= took, "{report:?}");
                assert_accounted(&report);
            });
        }
    });
}

/// As a proxy does whose server is gone. Its connections end no outage.
#[test]
fn a_server_that_accepts_and_closes_at_once_is_one_outage() {
    thread::scope(|scope| {
        for flags in [&["-d", "1500ms"][..], &["-d", "1500ms", "--rate", "30"], &["-n", "1m"]] {
            scope.spawn(move || {
                let closing = server(|_, stream| drop(stream));
                let report = run(closing, &[&["-c", "3", "--timeout", "500ms"], flags].concat());
                assert_eq!(report.number("messages"), 0, "{report:?}");
                let ((count, ended), errors) = (counts(&report), report.number("errors"));
                assert_eq!((count, ended + errors as f64), (3.0, 3.0), "{report:?}");
                // At a low rate an attempt may be open when time is up, and be owed no reply.
                assert!(ended == 0.0 || flags.contains(&"--rate"), "{report:?}");
                assert!((0.4..5.0).contains(&outages(&report, "max_seconds")), "{report:?}");
                assert_eq!(report.json["connections"]["opened"], 3, "{report:?}");
            });
        }
    });
}

/// Accepts and closes for a while, and then echoes.
#[test]
fn a_connection_that_gets_no_reply_ends_no_outage() {
    // When it first closed a connection, and first had one that replaces another.
    let moments: Arc<[OnceLock<Instant>; 2]> = Arc::default();
    // When it first replied on each connection.
    let replies: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let (theirs, replied) = (Arc::clone(&moments), Arc::clone(&replies));
    let flapping = server(move |number, mut stream| {
        let [closed, replaced] = &*theirs;
        let closed = closed.get_or_init(Instant::now);
        if number == 3 {
            replaced.get_or_init(Instant::now);
        }
        if closed.elapsed() < Duration::from_millis(400) {
            return;
        }
        let mut message = [0; 24];
        if stream.read_exact(&mut message).is_ok() {
            replied.lock().expect("no panic").push(Instant::now());
            send(&mut stream, &message);
            echo(stream, usize::MAX);
        }
    });
    let report = run(flapping, &["-c", "3", "-d", "2500ms"]);
    assert_eq!((report.code, counts(&report)), (0, (3.0, 3.0)), "{report:?}");
    let [closed, replaced] = &*moments;
    let mut replies = replies.lock().expect("no panic");
    replies.sort();
    let between = |from: &OnceLock<Instant>, to: Option<&Instant>| {
        let from = from.get().expect("a moment");
        to.expect("a reply").saturating_duration_since(*from).as_secs_f64()
    };
    let (least, most) = (between(replaced, replies.first()), between(closed, replies.last()));
    // A busy client may open a connection late.
    let length = outages(&report, "max_seconds");
    assert!((least..most + 1.5).contains(&length), "{least} to {most}: {report:?}");
    assert_accounted(&report);
}

fn at(address: SocketAddr) -> Running {
    Running::echo(Config { address, ..config(Framing::Raw) })
}

#[test]
fn connections_that_are_lost_while_they_are_held_have_their_last_echo() {
    let server = at("127.0.0.1:0".parse().expect("an address"));
    let process = start(server.address, &["-c", "5", "-n", "10", "--hold", "1h"]);
    process.wait_for_stderr("holding 5 connections");
    let address = server.address;
    drop(server);
    let again = at(address);
    again.wait_until("all are open", |stats| stats.acceptor.accepted.get() == 5);
    process.signal(Signal::USR1);
    let report = process.report();
    assert_eq!((report.code, report.number("messages")), (0, 55), "{report:?}");
    assert_eq!((counts(&report), report.number("unanswered")), ((5.0, 5.0), 0), "{report:?}");
    // The hold after it does not count.
    assert!(outages(&report, "max_seconds") < 5.0, "{report:?}");
}

#[test]
fn an_idle_connection_works_from_when_it_is_open() {
    let server = at("127.0.0.1:0".parse().expect("an address"));
    // The messages are due after 0, 1 and 2 s.
    let process = start(server.address, &["-c", "1", "--rate", "1", "-d", "2500ms"]);
    server.wait_until("a message", |stats| stats.sum(|it| &it.messages) > 0);
    let address = server.address;
    drop(server);
    let again = at(address);
    let report = process.report();
    drop(again);
    assert_eq!((report.code, counts(&report)), (0, (1.0, 1.0)), "{report:?}");
    assert_eq!((report.number("messages"), report.number("unanswered")), (3, 0), "{report:?}");
    // It would be a second if it lasted until the next reply.
    assert!(outages(&report, "max_seconds") < 0.8, "{report:?}");
}

#[test]
fn wrong_bytes_are_a_mismatch_and_the_load_goes_on() {
    let lying = server(|number, mut stream| {
        let mut message = [0; 24];
        while stream.read_exact(&mut message).is_ok() {
            message[5] ^= u8::from(number == 1);
            send(&mut stream, &message);
        }
    });
    let report = run(lying, &["-c", "3", "-n", "50"]);
    assert_eq!((report.code, report.number("mismatches")), (1, 1), "{report:?}");
    assert_eq!((report.number("messages"), report.number("unanswered")), (149, 1), "{report:?}");
    assert_eq!((counts(&report), report.number("errors")), ((1.0, 1.0), 0), "{report:?}");
}

#[test]
fn an_interrupt_during_an_outage_reports_it() {
    let mut server = ServerProcess::start(&["-t", "1"]);
    let flags = [&["-c", "5", "-d", "1h", "--threads", "2"], &LINES[..]].concat();
    let process = start(server.address, &flags);
    server.wait_until_busy();
    server.kill();
    wait_until_all_are_lost(&process);
    thread::sleep(Duration::from_millis(200));
    process.signal(Signal::INT);
    let report = process.report();
    assert_eq!((report.code, counts(&report)), (130, (5.0, 0.0)), "{report:?}");
    assert!((0.2..5.0).contains(&outages(&report, "max_seconds")), "{report:?}");
}

#[test]
fn without_it_a_lost_connection_is_no_outage() {
    let (address, _) = resetting(20);
    let report = run_json(address, &["-c", "3", "-n", "100"]);
    assert_eq!((report.code, counts(&report)), (1, (0.0, 0.0)), "{report:?}");
    assert_eq!(report.json["outages"]["p50_seconds"], Value::Null, "{report:?}");
    let sent = report.number("messages") + report.number("unanswered");
    assert!((60..=63).contains(&sent), "{report:?}");
}

#[test]
fn outages_merge_and_conditions_compare_them() {
    let mut reports = [20, 10].map(|count| run(resetting(count).0, &["-c", "3", "-n", "58"]));
    // As if both clients had the same server.
    reports[1].json["plan"]["targets"] = reports[0].json["plan"]["targets"].clone();
    let [one, other] = &reports;
    let files = [written("outages-1.json", &one.json), written("outages-2.json", &other.json)];
    let merged = JsonReport::of(&merge(&files, &["--json"]));
    let reversed = JsonReport::of(&merge(&[&files[1], &files[0]], &["--json"]));
    assert_eq!(merged.json["outages"], reversed.json["outages"]);
    let count = counts(one).0 + counts(other).0;
    assert!(count > 10.0 && counts(&merged) == (count, count), "{merged:?}");
    let steps = merged.json["timeline"]["reconnects"].as_array().expect("a list");
    assert_eq!(steps.iter().filter_map(|it| it.as_f64()).sum::<f64>(), count, "{merged:?}");
    for key in ["unanswered", "messages"] {
        assert_eq!(merged.number(key), one.number(key) + other.number(key), "{key}");
    }
    let both = |key: &str| [outages(one, key), outages(other, key)];
    let [max, total] = ["max_seconds", "total_seconds"].map(both);
    assert_eq!(outages(&merged, "max_seconds"), max[0].max(max[1]));
    assert!((outages(&merged, "total_seconds") - total[0] - total[1]).abs() < 1e-9);
    assert_eq!(outages(&merged, "began"), both("began")[0].min(both("began")[1]));
    assert_eq!(outages(&merged, "ended"), both("ended")[0].max(both("ended")[1]));
    let code = |condition: &str| merge(&files, &["--fail-if", condition]).status.code();
    for (condition, expected) in [
        (&format!("reconnects>={count}")[..], 3),
        (&format!("reconnects>{count}"), 0),
        ("outage_max>0us", 3),
        ("outage_max>=1h", 0),
        ("opened<7", 3),
        ("not_closed>0", 0),
    ] {
        assert_eq!(code(condition), Some(expected), "{condition}");
    }
}

#[test]
fn results_of_earlier_versions_have_no_outages() {
    let server = Running::echo(config(Framing::Raw));
    let new = run_json(server.address, &["-c", "2", "-n", "5"]).json;
    let mut old = new.clone();
    let fields = old.as_object_mut().expect("an object");
    for key in ["outages", "unanswered", "cpu_span_seconds", "connect_histogram"] {
        fields.remove(key).expect("it is there");
    }
    fields["plan"].as_object_mut().expect("it").remove("on_error").expect("it is there");
    fields["environment"]["pid"] = 1.into();
    let files = [written("reconnect-old.json", &old), written("reconnect-new.json", &new)];
    let merged = JsonReport::of(&merge(&files, &["--json"]));
    assert_eq!((merged.number("messages"), counts(&merged)), (20, (0.0, 0.0)), "{merged:?}");
    let other = run(server.address, &["-c", "2", "-n", "5"]).json;
    let output = merge(&[&files[1], &written("reconnect-other.json", &other)], &[]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("on_error is \"stop\" in one and \"reconnect\" in the"), "{stderr}");
    assert_eq!(other["outages"]["reasons"], json!({}));
}
