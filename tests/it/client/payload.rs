//! `--payload`: every message has the same bytes, and their echo is compared with them.

use std::fs::{self, File};
use std::io::Read;
use std::sync::{Arc, Mutex};

use reactor_server::Framing;

use crate::support::client::{JsonReport, client, report, run, run_json, stderr, written};
use crate::support::fake_server::{Wire, answering, send, server};
use crate::support::running::{Running, config};
use crate::support::temporary;

const REQUEST: &str = r"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn the_server_gets_the_bytes_that_the_escapes_stand_for() {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let received = Arc::clone(&bytes);
    let address = server(move |_, mut stream| {
        let mut buffer = [0; 7];
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            received.lock().expect("no panic").extend_from_slice(&buffer[..length]);
            send(&mut stream, &buffer[..length]);
        }
    });
    let report = run_json(address, &["-c", "1", "-n", "3", "--payload", REQUEST]);
    assert_eq!((report.code, report.number("messages")), (0, 3), "{report:?}");
    let expected = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3);
    assert_eq!(*bytes.lock().expect("no panic"), expected);
    assert_eq!(report.number("bytes_sent"), expected.len() as u64);
    let plan = &report.json["plan"];
    assert_eq!((&plan["size"], &plan["payload"]), (&27.into(), &REQUEST.into()));
}

/// Its bytes are sent as they are, without escapes, and with every other flag.
#[test]
fn the_bytes_of_a_file_are_echoed_in_every_framing_and_shape() {
    let file = temporary("payload");
    let bytes: Vec<u8> = (0..=255).cycle().take(3000).chain(*br"\r\n").collect();
    fs::write(&file, &bytes).expect("a file");
    let at = format!("@{}", file.display());
    let raw = Running::echo(config(Framing::Raw));
    let len32 = Running::echo(config(Framing::Len32));
    for more in [
        &["-n", "50", "--pipeline", "8", "--threads", "2"][..],
        &["-n", "20", "--reconnect-every", "3", "--warmup", "20ms"],
        &["-n", "20", "--rate", "5k", "--hold", "1ms"],
        &["-n", "20", "--verify", "length", "--think", "100us,exp"],
    ] {
        for (address, framing) in [(raw.address, "raw"), (len32.address, "len32")] {
            let flags = ["-c", "3", "--framing", framing, "--payload", &at];
            let report = run_json(address, &[&flags[..], more].concat());
            let each = bytes.len() as u64 + if framing == "len32" { 4 } else { 0 };
            assert_eq!(report.code, 0, "{report:?}");
            assert_eq!(report.number("bytes_received"), each * report.number("messages"));
        }
    }
    let line = Running::echo(config(Framing::line()));
    let flags = ["-c", "2", "-n", "5", "--framing", "line", "--payload", r"a line\r"];
    assert_eq!(run_json(line.address, &flags).number("bytes_sent"), 10 * 8);
    let mut piped = client(raw.address, &["-c", "1", "-n", "1", "--payload", "@-", "--json"]);
    let output = piped.stdin(File::open(&file).expect("it")).output().expect("it runs");
    assert_eq!(JsonReport::of(&output).number("bytes_sent"), bytes.len() as u64);
}

#[test]
fn a_changed_byte_of_the_echo_is_a_mismatch() {
    let address = answering(Wire::Raw(27), |place, mut message| {
        if place.index == 5 {
            message[24] ^= 0x20;
        }
        message
    });
    let report = run_json(address, &["-c", "1", "-n", "10", "--payload", REQUEST]);
    let what = "wrong bytes: reply 5 differs at byte 24: expected 0a0d0a, got 2a0d0a";
    report.assert_complaints(&[(what, 1)]);
    assert_eq!((report.number("mismatches"), report.number("messages")), (1, 5));
}

#[test]
fn results_of_other_payloads_are_not_merged() {
    let server = Running::echo(config(Framing::Raw));
    let of = |name: &str, payload: &str| {
        let flags = ["-c", "1", "-n", "1", "--payload", payload];
        written(name, &run_json(server.address, &flags).json)
    };
    let merged = |one: &str, other: &str| {
        let files = [of("a payload.json", one), of("another.json", other)];
        stderr(&report(&files, &[]))
    };
    // They differ behind what is recorded of them.
    let (long, other) = ("x".repeat(1000), "x".repeat(999) + "y");
    for (one, other) in [("ab", "ac"), (&long, &other)] {
        let refused = merged(one, other);
        assert!(refused.contains("they ran different plans: payload is \""), "{refused}");
        assert_eq!(merged(one, one), "");
    }
    let text = run(server.address, &["-c", "1", "-n", "1", "--payload", r"\x1b[2J\n"]).stdout;
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains(r", raw, 5 B, ") && text.contains(r", payload \x1b[2J\n"), "{text}");
}
