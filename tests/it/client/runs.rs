//! A run verifies every reply, and reports in a form that programs can rely on.

use base64::Engine;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use reactor_server::program::limits::{connections_possible, raise_descriptor_limit};
use reactor_server::{Echo, Framing};
use rustix::process::Signal;
use serde_json::Value;

use crate::support::client::{ClientProcess, JsonReport, client, limited_client, run, run_json};
use crate::support::fake_server::{Wire, answering, responding, send};
use crate::support::running::{Running, config};
use crate::support::streams::frame;
use crate::support::{temporary, unused_address};

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
            let JsonReport { code, json: result, .. } = run_json(server.address, &flags);
            assert_eq!((code, &result["messages"]), (0, &350.into()), "{flags:?}");
            assert_eq!(result["bytes_sent"], result["bytes_received"]);
        }
    }
}

#[test]
fn the_reply_prefix_is_verified() {
    let echo = Echo { prefix: b"reply:".to_vec(), ..Echo::default() };
    let server = Running::start(config(Framing::Len32), echo);
    let flags = ["-n", "10", "--framing", "len32", "--reply-prefix"];
    assert_eq!(run_json(server.address, &[&flags[..], &["reply:"]].concat()).code, 0);
    let JsonReport { code, json: result, .. } =
        run_json(server.address, &[&flags[..], &["wrong:"]].concat());
    assert_eq!((code, &result["mismatches"]), (1, &30.into()));
}

#[test]
fn the_json_has_the_keys_that_programs_rely_on() {
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-c", "3", "-n", "100", "--percentiles", "50,99.99"];
    let JsonReport { code, json: result, .. } = run_json(server.address, &flags);
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
fn the_json_is_valid_when_no_connection_opens() {
    let flags = ["-c", "4", "-n", "10"];
    let JsonReport { code, json: result, .. } = run_json(unused_address(), &flags);
    assert_eq!((code, &result["errors"], &result["messages"]), (1, &4.into(), &0.into()));
    assert_eq!(result["connections"]["failed"], 4);
    assert_eq!((result["rate"].as_f64(), &result["latency_us"]["mean"]), (Some(0.0), &Value::Null));
}

#[test]
fn verify_length_and_off_accept_other_bytes() {
    let wrong = responding(|stream, bytes| send(stream, &vec![b'x'; bytes.len()]));
    for verify in ["length", "off"] {
        let flags = ["-c", "1", "-n", "5", "--verify", verify];
        assert_eq!(run(wrong, &flags).status.code(), Some(0), "{verify}");
    }
    assert_eq!(run(wrong, &["-c", "1", "-n", "5"]).status.code(), Some(1));
}

#[test]
fn verify_off_counts_replies_whatever_their_lengths() {
    let other: fn(Vec<u8>) -> Vec<u8> = |mut message| {
        message.splice(..4, []);
        // They have the number of the message.
        match message.iter().take(16).map(|it| u32::from(*it)).sum::<u32>() % 3 {
            0 => b"x".to_vec(),
            1 => message,
            _ => vec![b'x'; 100_000],
        }
    };
    let line =
        answering(Wire::Line, move |_, message| [&other(message)[..], b"\nno reply\n"].concat());
    let len32 = answering(Wire::Len32, move |_, message| {
        [frame(&other(message)), frame(b"no reply")].concat()
    });
    let raw = answering(Wire::Raw(24), |_, message| [&message[..], b"and more"].concat());
    for (server, flags) in [
        (line, &["--framing", "line"][..]),
        (len32, &["--framing", "len32"]),
        (raw, &[]),
        (raw, &["--stream", "-s", "24", "--pipeline", "1"]),
    ] {
        let flags = [flags, &["-c", "3", "-n", "50"]].concat();
        let off = run_json(server, &[&flags[..], &["--verify", "off"]].concat());
        assert_eq!((off.code, off.number("messages")), (0, 150), "{flags:?}: {off:?}");
        let full = run_json(server, &flags);
        assert_eq!((full.code, full.number("mismatches")), (1, 3), "{flags:?}: {full:?}");
    }
}

#[test]
fn a_duration_ends_the_run_after_all_replies() {
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-c", "5", "-d", "1s", "--pipeline", "4"];
    let JsonReport { code, json: result, .. } = run_json(server.address, &flags);
    assert_eq!(code, 0);
    assert_eq!(result["bytes_sent"], result["bytes_received"]);
    let seconds = result["seconds"].as_f64().expect("a number");
    assert!((1.0..5.0).contains(&seconds), "{seconds}");
}

#[test]
fn connections_open_at_the_connect_rate() {
    let server = Running::echo(config(Framing::Raw));
    let result = run_json(server.address, &["41", "100", "-n", "1"]).json;
    assert_eq!(result["connections"]["opened"], 41);
    // The last of 41 opens 400 ms after the first.
    assert!(result["connections"]["seconds"].as_f64() >= Some(0.4));
}

#[test]
fn environment_variables_set_flags() {
    let server = Running::echo(config(Framing::Raw));
    let mut command = client(server.address, &["-n", "5"]);
    let variables = [("CLIENT_JSON", "1"), ("CLIENT_QUIET", "no"), ("CLIENT_CONNECTIONS", "7")];
    command.envs(variables);
    assert_eq!(ClientProcess::start(command).report().number("messages"), 35);
}

#[test]
fn a_missing_reply_fails_after_the_timeout() {
    let report = run_json(responding(|_, _| {}), &["-c", "1", "-n", "5", "--timeout", "200ms"]);
    let seconds = report.json["seconds"].as_f64().expect("a number");
    // A busy machine is late, but not as late as the default timeout of 30 s.
    assert!(report.code == 1 && (0.2..5.0).contains(&seconds), "{report:?}");
}

#[test]
fn refused_connections_are_counted_and_can_be_interrupted() {
    let address = unused_address();
    let JsonReport { code, json: result, .. } = run_json(address, &["5000", "-n", "1"]);
    assert_eq!((code, &result["connections"]["failed"]), (1, &5000.into()));
    let client = ClientProcess::start(client(address, &["10m", "-n", "1", "--json"]));
    client.wait_until_signals_are_blocked();
    client.signal(Signal::INT);
    assert_eq!(client.report().code, 130);
}

#[test]
fn results_go_to_the_output_file_alone() {
    let server = Running::echo(config(Framing::Raw));
    let file = temporary("results.json");
    let path = file.to_str().expect("a path");
    let output = run(server.address, &["-n", "10", "--json", "-o", path]);
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
fn the_descriptor_limit_lowers_connections_with_a_warning() {
    let server = Running::echo(config(Framing::Raw));
    let JsonReport { code, json: result, stderr } =
        ClientProcess::start(limited_client(server.address, &["5000", "-n", "2", "--json"]))
            .report();
    assert_eq!(code, 0);
    assert!(stderr.contains("allows 66 connections, not 5,000"), "{stderr}");
    assert_eq!(result["connections"]["opened"], 66);
}

#[test]
fn ten_thousand_connections_in_one_burst_are_all_verified() {
    raise_descriptor_limit().expect("a limit");
    // Other tests of this process need descriptors too.
    let most = connections_possible(3_000).min(10_000);
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-n", "2", "-c", &most.to_string(), "--connect-timeout", "30s"];
    let JsonReport { code, json: result, .. } = run_json(server.address, &flags);
    let opened = &result["connections"]["opened"];
    assert_eq!((code, opened), (0, &most.into()), "{}", result["complaints"]);
    server.wait_until("all are closed", |stats| stats.closed() == most as u64);
}
