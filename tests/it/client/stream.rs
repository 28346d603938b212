//! `--stream`: each connection sends and verifies one stream of bytes.

use std::io::Read;
use std::sync::mpsc;
use std::thread;

use reactor_server::Framing;

use crate::support::PATIENCE;
use crate::support::client::{report, run, run_json, stderr, written};
use crate::support::fake_server::{Random, send, server};
use crate::support::running::{Running, config};

#[test]
fn every_byte_of_a_stream_comes_back_and_is_counted() {
    let server = Running::echo(config(Framing::Raw));
    for (more, messages) in [
        (&["-n", "40"][..], 120),
        (&["-n", "40", "--threads", "2", "--warmup", "50ms", "--pipeline", "3"], 120),
        (&["-n", "40", "--reconnect-every", "7", "--close", "strict"], 120),
        (&["-n", "40", "--hold", "10ms", "-s", "1000"], 123),
        (&["-n", "40", "-s", "7", "--pipeline", "1"], 120),
        (&["-n", "40", "--payload", r"GET / HTTP/1.1\r\n\r\n", "--verify", "off"], 120),
    ] {
        let report = run_json(server.address, &[&["-c", "3", "--stream"], more].concat());
        assert_eq!((report.code, report.number("messages")), (0, messages), "{more:?}: {report:?}");
        let each = report.json["plan"]["size"].as_u64().expect("a size");
        assert_eq!(report.number("bytes_sent"), each * messages, "{more:?}");
        assert_eq!(report.number("bytes_received"), each * messages, "{more:?}");
        let rate = report.json["bytes_per_second"].as_f64().expect("a number");
        let by_hand = (each * messages) as f64 / report.json["seconds"].as_f64().expect("it");
        assert!((rate / by_hand - 1.0).abs() < 1e-9, "{rate} {by_hand}");
    }
    let timed = run_json(server.address, &["-c", "2", "-d", "1s", "--stream"]);
    assert_eq!(timed.code, 0, "{timed:?}");
    assert_eq!(timed.number("bytes_sent"), timed.number("bytes_received"));
    let text = run(server.address, &["-c", "2", "-n", "9", "--stream"]).stdout;
    let text = String::from_utf8_lossy(&text);
    assert!(
        text.contains(": stream, raw, 65536 B, pipeline 16, ") && text.contains(" MB per second"),
        "{text}"
    );
}

/// As many bytes as the window has are sent before anything comes back, and not one more.
#[test]
fn a_connection_sends_its_window_without_waiting() {
    thread::scope(|scope| {
        for (flags, window) in [(&[][..], 1 << 20), (&["-s", "1000", "--pipeline", "5"], 5000)] {
            scope.spawn(move || {
                let (sender, received) = mpsc::channel();
                let silent = server(move |_, mut stream| {
                    let mut all = Vec::new();
                    stream.read_to_end(&mut all).expect("the client closes it");
                    sender.send(all.len()).expect("the test listens");
                });
                // The server has this time to receive the window.
                let stream = ["-c", "1", "-d", "1h", "--stream", "--timeout", "2s"];
                let report = run_json(silent, &[&stream[..], flags].concat());
                report.assert_complaints(&[("no reply in time", 1)]);
                assert_eq!(received.recv_timeout(PATIENCE), Ok(window));
            });
        }
    });
}

/// The bytes come back in pieces of all sizes, up to the wrong byte. What follows it is missing,
/// so that its block never becomes whole.
#[test]
fn a_changed_byte_is_noticed_before_its_block_is_whole() {
    const SIZE: usize = 40;
    for at in [0, 5, 15, 16, 17, 38, 39, 40, 47, 199, 400] {
        let address = server(move |_, mut stream| {
            let (mut random, mut sent) = (Random(at as u64), 0);
            let mut buffer = [0; 30];
            while sent <= at {
                let most = (1 + random.below(30)).min(at + 1 - sent);
                let Ok(length @ 1..) = stream.read(&mut buffer[..most]) else { return };
                if sent + length > at {
                    buffer[at - sent] ^= 0x40;
                }
                send(&mut stream, &buffer[..length]);
                sent += length;
            }
            // Until the client closes it.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let size = SIZE.to_string();
        let report = run_json(address, &["-c", "1", "-n", "50", "--stream", "-s", &size]);
        assert_eq!((report.code, report.number("mismatches")), (1, 1), "{at}: {report:?}");
        let (what, _) = &report.complaints()[0];
        let begin = format!("wrong bytes: reply {} differs at byte {}: ", at / SIZE, at % SIZE);
        assert!(what.starts_with(&begin), "{at}: {what}");
        assert_eq!(report.number("messages"), (at / SIZE) as u64);
    }
}

#[test]
fn bytes_beyond_the_stream_are_a_mismatch() {
    let address = server(|_, mut stream| {
        let mut block = [0; 100];
        while stream.read_exact(&mut block).is_ok() {
            send(&mut stream, &block);
        }
        send(&mut stream, b"!");
    });
    let report = run_json(address, &["-c", "1", "-n", "3", "--stream", "-s", "100"]);
    report.assert_complaints(&[("wrong bytes: bytes after the last reply, of 3: 21", 1)]);
}

#[test]
fn results_of_a_stream_are_merged_with_each_other_alone() {
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-c", "1", "-n", "2", "-s", "1k", "--pipeline", "16"];
    let of = |name, more: &[&str]| {
        written(name, &run_json(server.address, &[&flags, more].concat()).json)
    };
    let files = [of("stream.json", &["--stream"]), of("messages.json", &[])];
    let refused = stderr(&report(&files, &[]));
    assert!(refused.contains("stream is true in one and false in the other"), "{refused}");
    let merged = report(&[&files[0], &of("stream 2.json", &["--stream"])], &["--json"]);
    assert_eq!(merged.status.code(), Some(0), "{merged:?}");
}

#[test]
fn check_counts_the_window_of_each_connection() {
    let server = Running::echo(config(Framing::Raw));
    let memory = |more: &[&str]| {
        let flags = ["-c", "10", "--check"];
        let needs = run_json(server.address, &[&flags, more].concat()).json["needs"].clone();
        let all = needs.as_array().expect("a list");
        let memory = all.iter().find(|it| it["what"] == "bytes of memory").expect("it");
        memory["needed"].as_u64().expect("a number")
    };
    assert_eq!(memory(&["--stream"]) - memory(&[]), 10 << 20);
}
