//! The load client notices whatever is wrong, and says it so that programs can
//! rely on it.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use base64::Engine;
use crate::support::client::{Process, client, run, run_json};
use crate::support::fake_server::{liar, send};
use crate::support::{Running, config};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use reactor_server::{Echo, Framing};
use serde_json::Value;

#[test]
fn every_framing_size_and_depth_is_verified() {
    for (framing, name) in
        [(Framing::Raw, "raw"), (Framing::Len32, "len32"), (Framing::line(), "line")]
    {
        let server = Running::echo(config(framing));
        for (size, pipeline) in [("1", "1"), ("15", "3"), ("16", "1"), ("24", "64"), ("100k", "2")]
        {
            let flags = ["-c", "7", "-n", "50", "--framing", name, "-s", size];
            let flags = [&flags[..], &["--pipeline", pipeline, "--threads", "2"]].concat();
            let (code, result) = run_json(server.address, &flags);
            assert_eq!((code, &result["messages"]), (0, &350.into()), "{flags:?}");
            assert_eq!(result["bytes_sent"], result["bytes_received"]);
        }
    }
}

#[test]
fn a_prefix_is_part_of_what_is_verified() {
    let echo = Echo { prefix: b"reply:".to_vec(), ..Echo::default() };
    let server = Running::start(config(Framing::Len32), echo);
    let flags = ["-n", "10", "--framing", "len32", "--reply-prefix"];
    assert_eq!(run_json(server.address, &[&flags[..], &["reply:"]].concat()).0, 0);
    let (code, result) = run_json(server.address, &[&flags[..], &["wrong:"]].concat());
    assert_eq!((code, &result["mismatches"]), (1, &30.into()));
}

#[test]
fn the_json_has_the_keys_that_programs_rely_on() {
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-c", "3", "-n", "100", "--percentiles", "50,99.99"];
    let (code, result) = run_json(server.address, &flags);
    assert_eq!(code, 0);
    assert_eq!(result["messages"], 300);
    for key in ["errors", "mismatches"] {
        assert_eq!(result[key], 0, "{key}");
    }
    assert_eq!((&result["bytes_sent"], &result["bytes_received"]), (&7200.into(), &7200.into()));
    assert!(result["seconds"].as_f64() > Some(0.0) && result["rate"].as_f64() > Some(0.0));
    let connections = &result["connections"];
    assert_eq!((&connections["requested"], &connections["opened"]), (&3.into(), &3.into()));
    assert_eq!(connections["failed"], 0);
    assert!(connections["seconds"].is_f64());
    for key in ["p50", "p90", "p99", "p99_9", "p99_99", "max", "mean"] {
        assert!(result["latency_us"][key].as_f64() > Some(0.0), "{key}");
    }
    assert_eq!(result["loop"], "closed");
    for key in ["kernel", "cpus", "version", "command"] {
        assert!(!result["environment"][key].is_null(), "{key}");
    }
    let encoded = result["histogram"].as_str().expect("a string");
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).expect("base64");
    let histogram: Histogram<u64> =
        Deserializer::new().deserialize(&mut &bytes[..]).expect("an HdrHistogram");
    assert_eq!(histogram.len(), 300);
}

#[test]
fn nothing_done_is_still_valid_json() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it");
    let (code, result) = run_json(nobody, &["-c", "4", "-n", "10"]);
    assert_eq!((code, &result["errors"], &result["messages"]), (1, &4.into(), &0.into()));
    assert_eq!(result["connections"]["failed"], 4);
    assert_eq!(
        (result["rate"].as_f64(), result["latency_us"]["mean"].as_f64()),
        (Some(0.0), Some(0.0))
    );
}

#[test]
fn length_is_content_with_the_length_and_off_with_anything() {
    let lie = liar(|stream, bytes| send(stream, &vec![b'x'; bytes.len()]));
    for verify in ["length", "off"] {
        let flags = ["-c", "1", "-n", "5", "--verify", verify];
        assert_eq!(run(lie, &flags).status.code(), Some(0), "{verify}");
    }
    assert_eq!(run(lie, &["-c", "1", "-n", "5"]).status.code(), Some(1));
}

#[test]
fn a_duration_ends_it_with_all_replies_in() {
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-c", "5", "-d", "300ms", "--pipeline", "4"];
    let (code, result) = run_json(server.address, &flags);
    assert_eq!(code, 0);
    assert_eq!(result["bytes_sent"], result["bytes_received"]);
    let seconds = result["seconds"].as_f64().expect("a number");
    assert!((0.25..5.0).contains(&seconds), "{seconds}");
}

#[test]
fn connections_open_at_the_rate_that_was_asked_for() {
    let server = Running::echo(config(Framing::Raw));
    let output = run(server.address, &["41", "100", "-n", "1", "--json"]);
    let result: Value = serde_json::from_slice(&output.stdout).expect("an object");
    assert_eq!(result["connections"]["opened"], 41);
    // The last of 41 opens 400 ms after the first.
    assert!(result["connections"]["seconds"].as_f64() >= Some(0.4));
}

#[test]
fn interrupted_it_still_reports() {
    let server = Running::echo(config(Framing::Raw));
    for phase in [&["-c", "3", "-d", "1h"][..], &["-c", "3", "--connect-rate", "1"]] {
        let mut command = client(server.address, &[phase, &["--json"]].concat());
        let before = server.handle.stats().acceptor.accepted.get();
        let child = command.stdout(Stdio::piped()).spawn().expect("a process");
        server.wait_until("a connection", |stats| stats.acceptor.accepted.get() > before);
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
        let output = child.wait_with_output().expect("its end");
        assert_eq!(output.status.code(), Some(130));
        let result: Value = serde_json::from_slice(&output.stdout).expect("an object");
        assert_eq!(result["interrupted"], true);
    }
}

#[test]
fn variables_stand_for_flags() {
    let server = Running::echo(config(Framing::Raw));
    let mut command = client(server.address, &["-n", "5"]);
    let variables = [("CLIENT_JSON", "1"), ("CLIENT_QUIET", "no"), ("CLIENT_CONNECTIONS", "7")];
    let output = command.envs(variables).output().expect("it runs");
    let result: Value = serde_json::from_slice(&output.stdout).expect("an object");
    assert_eq!(result["messages"], 35);
}

#[test]
fn a_reply_that_does_not_come_is_given_up_in_time() {
    let began = std::time::Instant::now();
    let (code, _) = run_json(liar(|_, _| {}), &["-c", "1", "-n", "5", "--timeout", "200ms"]);
    assert_eq!(code, 1);
    // It was given 200 ms; five times that is the gate on a loaded machine.
    assert!(began.elapsed().as_millis() < 1000, "{:?}", began.elapsed());
}

#[test]
fn where_nobody_listens_it_says_so_and_can_still_be_interrupted() {
    // Nobody listens, and every attempt fails at once.
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it");
    let (code, result) = run_json(nobody, &["5000", "-n", "1"]);
    assert_eq!((code, &result["connections"]["failed"]), (1, &5000.into()));
    let client = Process::start(client(nobody, &["10m", "-n", "1", "--json"]));
    // Blocked signals are kept, so it cannot come too early once it has begun.
    client.wait_for_its_signals();
    client.signal("-INT");
    assert_eq!(client.told().code, 130);
}

#[test]
fn results_go_where_they_are_wanted_and_nowhere_else() {
    let server = Running::echo(config(Framing::Raw));
    let file = format!("{}/results.json", env!("CARGO_TARGET_TMPDIR"));
    let output = run(server.address, &["-n", "10", "--json", "-o", &file]);
    assert!(output.stdout.is_empty() && output.stderr.is_empty());
    let result: Value =
        serde_json::from_slice(&std::fs::read(&file).expect("a file")).expect("json");
    assert_eq!(result["messages"], 300);
    let full = run(server.address, &["-n", "10", "-o", "/dev/full"]);
    assert_eq!(full.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&full.stderr).contains("error: cannot write the results"));
    let nowhere = run(server.address, &["-n", "10", "-o", "/no/such/folder/file"]);
    assert_eq!(nowhere.status.code(), Some(1));
}

#[test]
fn more_connections_than_descriptors_are_lowered_and_it_says_so() {
    let server = Running::echo(config(Framing::Raw));
    let mut command = Command::new("prlimit");
    command.args(["--nofile=100:100", env!("CARGO_BIN_EXE_client")]);
    command.args([server.address.ip().to_string(), server.address.port().to_string()]);
    let output = command.args(["5000", "-n", "2", "--json"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("allows 66 connections, not 5000"), "{stderr}");
    let result: Value = serde_json::from_slice(&output.stdout).expect("an object");
    assert_eq!(result["connections"]["opened"], 66);
}

#[test]
fn ten_thousand_in_one_burst_are_all_verified() {
    reactor_server::program::limits::raise_descriptor_limit().expect("a limit");
    let most =
        reactor_server::program::limits::connections_possible(100).expect("a limit").min(10_000);
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-n", "2", "-c", &most.to_string(), "--connect-timeout", "30s"];
    let (code, result) = run_json(server.address, &flags);
    let opened = &result["connections"]["opened"];
    assert_eq!((code, opened), (0, &most.into()), "{}", result["complaints"]);
    server.wait_until("all are closed", |stats| stats.closed() == most as u64);
}
