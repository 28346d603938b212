//! `client compare` loads servers in turn, and claims only what its runs show.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reactor_server::{ConnectionId, Framing, Handler, Reply};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::client::{ClientProcess, JsonReport, compare, stderr};
use crate::support::fake_server::{responding, server};
use crate::support::running::{Running, config};
use crate::support::server::ServerProcess;
use crate::support::unused_address;

/// Burns CPU for this long with each message.
struct Burning(Duration);

impl Handler for Burning {
    type Session = ();

    fn opened(&self, _: ConnectionId, _: SocketAddr, _: &mut Reply<'_>) {}

    fn message(&self, _: &mut (), message: &[u8], reply: &mut Reply<'_>) {
        let began = Instant::now();
        while began.elapsed() < self.0 {
            std::hint::spin_loop();
        }
        reply.send(&[message]);
    }
}

fn words(servers: &[(&str, SocketAddr)]) -> Vec<String> {
    servers.iter().map(|(name, address)| format!("{name}={address}")).collect()
}

fn compared(servers: &[(&str, SocketAddr)], flags: &[&str]) -> JsonReport {
    let flags = [flags, &["--json"]].concat();
    ClientProcess::start(compare(&words(servers), &flags)).report()
}

/// What the second server's figures are, in those of the first one.
fn ratio(report: &JsonReport, metric: &str) -> Value {
    report.json["servers"][1]["ratios"][metric].clone()
}

#[test]
fn a_server_that_burns_cpu_is_found() {
    let quick = ServerProcess::start(&["-t", "1"]);
    let slow = Running::start(config(Framing::Raw), Burning(Duration::from_millis(5)));
    let servers = [("quick", quick.address), ("slow", slow.address)];
    // The process of this test is busy with the other tests too.
    let pids = format!("quick={},slow={}", quick.id(), std::process::id());
    let report = compared(&servers, &["-c", "1", "-d", "500ms", "--server-pid", &pids]);
    assert_eq!(report.code, 0, "{report:?}");
    let [rate, p50] = ["rate", "p50_us"].map(|it| ratio(&report, it));
    assert_eq!((&rate["differs"], &p50["differs"]), (&json!(true), &json!(true)), "{rate} {p50}");
    assert!(rate["high"].as_f64() < Some(0.9) && p50["low"].as_f64() > Some(1.1), "{rate} {p50}");
    let cpu = ratio(&report, "cpu_us_per_message");
    assert!(cpu["ratio"].as_f64() > Some(2.0), "{cpu}");
    let sentence = report.json["sentences"][0].as_str().expect("a sentence");
    assert!(sentence.starts_with("slow answered 0."), "{sentence}");
    assert!(sentence.contains(" times the p50 of quick"), "{sentence}");
    assert_eq!(report.json["intervals"], 5, "{report:?}");
}

/// A server that sends its name to the channel for each connection, and echoes.
fn noting(name: &'static str, notes: &mpsc::Sender<&'static str>) -> SocketAddr {
    let notes = Mutex::new(notes.clone());
    server(move |_, mut stream| {
        notes.lock().expect("no panic").send(name).expect("the test listens");
        let mut writer = stream.try_clone().expect("a second handle");
        let _ = std::io::copy(&mut stream, &mut writer);
    })
}

#[test]
fn servers_take_turns_and_every_second_round_is_backwards() {
    let (sender, notes) = mpsc::channel();
    let servers = ["a", "b", "c"].map(|name| (name, noting(name, &sender)));
    let process =
        ClientProcess::start(compare(&words(&servers), &["-c", "1", "-n", "5", "--runs", "3"]));
    let output = process.output();
    let order: String = notes.try_iter().collect();
    assert_eq!((output.status.code(), order.as_str()), (Some(0), "abccbaabc"), "{output:?}");
    let stderr = stderr(&output);
    let runs: Vec<_> = stderr.lines().filter_map(|line| line.split(": ").next()).collect();
    assert_eq!(runs.len(), 9, "{stderr}");
    assert_eq!((runs[0], runs[3]), ("run 1 of 9, a", "run 4 of 9, c"), "{stderr}");
}

#[test]
fn the_text_has_a_line_for_each_server_and_a_sentence_for_each_but_the_first() {
    let server = Running::echo(config(Framing::Raw));
    let words = words(&[("ours", server.address), ("again", server.address)]);
    let flags = ["-c", "2", "-n", "50", "--runs", "4", "-q", "--percentiles", "50,90"];
    let output = ClientProcess::start(compare(&words, &flags)).output();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");
    assert!(text.starts_with("2 servers, 4 runs each with 2 connections: closed loop"), "{text}");
    for metric in ["\nrate\n", "\np50\n", "\np90\n"] {
        let (_, block) = text.split_once(metric).expect(metric);
        let lines: Vec<_> = block.lines().take(2).collect();
        assert!(lines[0].starts_with("  ours ") && lines[1].starts_with("  again "), "{text}");
        assert!(!lines[0].ends_with(" to 1.000)") && lines[1].ends_with(')'), "{text}");
    }
    assert!(!text.contains("CPU per message"), "no process was named: {text}");
    let sentences = text.lines().filter(|line| line.starts_with("again "));
    assert_eq!(sentences.count(), 1, "{text}");
    assert!(
        text.contains("note      all 3 intervals together hold with 95 % confidence"),
        "{text}"
    );
}

#[test]
fn fewer_than_four_runs_claim_nothing_and_say_why() {
    let quick = Running::echo(config(Framing::Raw));
    let slow = Running::start(config(Framing::Raw), Burning(Duration::from_millis(2)));
    let servers = [("quick", quick.address), ("slow", slow.address)];
    let flags = ["-c", "1", "-n", "20", "--runs", "3", "-q"];
    let report = compared(&servers, &flags);
    assert_eq!((report.code, ratio(&report, "rate")), (0, Value::Null), "{report:?}");
    let sentence =
        "slow and quick are not compared: too few runs for an interval, which takes 4 of each";
    assert_eq!(report.json["sentences"][0], sentence);
    let output = ClientProcess::start(compare(&words(&servers), &flags)).output();
    let text = String::from_utf8_lossy(&output.stdout);
    let (_, block) = text.split_once("\nrate\n").expect("a block");
    let ends: Vec<_> = block.lines().take(2).map(|line| line.ends_with("/s)")).collect();
    assert_eq!(ends, [true, false], "{text}");
    assert!(block.lines().nth(1).is_some_and(|it| it.ends_with("  too few runs for an interval")));
    assert!(text.contains(sentence) && !text.contains(" confidence"), "{text}");
}

#[test]
fn the_json_holds_each_run_as_a_load_of_its_own() {
    let server = Running::echo(config(Framing::Raw));
    let servers = [("a", server.address), ("b", server.address)];
    let report = compared(&servers, &["-c", "2", "-n", "20", "--runs", "3", "-q"]);
    for (place, name) in ["a", "b"].into_iter().enumerate() {
        let server = &report.json["servers"][place];
        let runs = server["runs"].as_array().expect("a list");
        assert_eq!((&server["name"], runs.len()), (&json!(name), 3));
        let mut rates: Vec<_> =
            runs.iter().map(|run| run["rate"].as_f64().expect("a number")).collect();
        rates.sort_by(f64::total_cmp);
        let rate = &server["figures"]["rate"];
        let figures = [&rate["least"], &rate["median"], &rate["most"]].map(Value::as_f64);
        assert_eq!(figures, [Some(rates[0]), Some(rates[1]), Some(rates[2])]);
        for run in runs {
            assert_eq!((&run["messages"], &run["errors"]), (&json!(40), &json!(0)));
            assert!(run["histogram"].is_string() && run["latency_us"]["p99"].is_number());
        }
    }
    assert_eq!(
        (&report.json["interrupted"], &report.json["failures"]),
        (&false.into(), &json!([]))
    );
    assert!(report.json["environment"]["kernel"].is_string(), "{report:?}");
}

#[test]
fn a_server_that_fails_ends_the_comparison() {
    let good = Running::echo(config(Framing::Raw));
    // Its second run finds wrong bytes.
    let runs = Arc::new(Mutex::new(0));
    let bad = server(move |_, mut stream| {
        let mut count = runs.lock().expect("no panic");
        *count += 1;
        let mut buffer = [0; 24];
        while stream.read_exact(&mut buffer).is_ok() {
            buffer[20] ^= u8::from(*count == 2);
            let _ = stream.write_all(&buffer);
        }
    });
    let servers = [("good", good.address), ("bad", bad)];
    let report = compared(&servers, &["-c", "1", "-n", "10"]);
    assert_eq!(report.code, 1, "{report:?}");
    let runs = |place: usize| report.json["servers"][place]["runs"].as_array().map(Vec::len);
    assert_eq!((runs(0), runs(1)), (Some(1), Some(1)), "{report:?}");
    let failures = report.json["failures"].as_array().expect("a list");
    let failure = failures[0].as_str().expect("a text");
    assert!(failure.starts_with("run 3 of 10, bad: 1 x wrong bytes"), "{failure}");
    assert!(report.stderr.contains(&format!("error: {failure}\n")), "{}", report.stderr);
    let refused = [("good", good.address), ("none", unused_address())];
    let output = ClientProcess::start(compare(&words(&refused), &["-n", "5", "-q"])).output();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!((output.status.code(), output.stderr.len()), (Some(1), 0), "{output:?}");
    assert!(text.contains("\nerror     run 2 of 10, none: "), "{text}");
}

#[test]
fn an_interrupt_ends_the_run_and_the_comparison() {
    // It answers twice for each server, then no more.
    let servers = |most: usize| {
        let (sender, arrivals) = mpsc::channel();
        let (sender, count) = (Mutex::new(sender), Mutex::new(0));
        let address = responding(move |stream, bytes| {
            let mut count = count.lock().expect("no panic");
            *count += 1;
            match *count <= most {
                true => stream.write_all(&bytes).expect("it is sent"),
                false => sender.lock().expect("no panic").send(()).expect("the test listens"),
            }
        });
        (address, arrivals)
    };
    let ((one, _), (other, stalled)) = (servers(100), servers(2));
    let servers = [("one", one), ("other", other)];
    let flags = ["-c", "1", "-n", "1", "--json"];
    let process = ClientProcess::start(compare(&words(&servers), &flags));
    stalled.recv_timeout(crate::support::PATIENCE).expect("a third message");
    process.signal(Signal::INT);
    let report = process.report();
    assert_eq!((report.code, &report.json["interrupted"]), (130, &true.into()), "{report:?}");
    let runs = |place: usize| report.json["servers"][place]["runs"].as_array().map(Vec::len);
    // One, other, other, one, one, and other that never ends.
    assert_eq!((runs(0), runs(1)), (Some(3), Some(2)), "{report:?}");
}

#[test]
fn an_interrupt_between_two_runs_ends_the_comparison() {
    let server = Running::echo(config(Framing::Raw));
    let servers = [("one", server.address), ("other", server.address)];
    let flags = ["-c", "1", "-n", "1", "--runs", "1000"];
    let process = ClientProcess::start(compare(&words(&servers), &flags));
    process.wait_for_stderr("run 2 of 2000, other: ");
    process.signal(Signal::INT);
    let output = process.output();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert!(text.contains("\nnote      interrupted: these are the runs until then\n"), "{text}");
    // However late the signal was sent, most runs were left.
    assert!(stderr(&output).lines().count() < 1000, "{output:?}");
}

#[test]
fn a_condition_that_a_run_meets_is_said_with_the_run() {
    let server = Running::echo(config(Framing::Raw));
    let servers = words(&[("one", server.address), ("other", server.address)]);
    let flags = ["-c", "1", "-n", "5", "--runs", "2", "--fail-if", "messages>=5,p99>1h"];
    let output = ClientProcess::start(compare(&servers, &flags)).output();
    let stderr = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    for run in ["one, run 1", "one, run 2", "other, run 1", "other, run 2"] {
        let line = format!("{run}: --fail-if messages>=5 came true: it is 5\n");
        assert!(stderr.contains(&line), "{line}: {stderr}");
    }
}
