//! How connections end after their last reply.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::client::{ClientProcess, JsonReport, client, run_json};
use crate::support::fake_server::{responding, send, server};
use crate::support::streams::reset;
use crate::support::{PATIENCE, eventually};

const RESET: &str = "the connection broke: Connection reset by peer (os error 104)";

/// A server that echoes until the client's FIN, and then does something else than to close.
fn ending(end: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    server(move |_, mut stream| {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            send(&mut stream, &buffer[..count]);
        }
        end(stream);
    })
}

fn keeping() -> SocketAddr {
    ending(|_stream| {
        loop {
            thread::park();
        }
    })
}

fn assert_clean(report: &JsonReport, messages: u64, not_closed: u64) {
    assert_eq!((report.code, report.number("errors")), (0, 0), "{report:?}");
    assert_eq!(report.number("messages"), messages, "{report:?}");
    assert_eq!(report.number("not_closed"), not_closed, "{report:?}");
}

/// The waits of a hundred connections are at the same time, and no part of the time that is
/// measured.
#[test]
fn a_server_that_does_not_close_is_counted_and_is_no_error() {
    let keeping = keeping();
    let flags = ["-c", "2", "-n", "1", "--fail-if", "not_closed>0"];
    let text = ClientProcess::start(client(keeping, &flags));
    let began = Instant::now();
    for (process, connections) in [
        (&["-c", "100", "-n", "3", "--json"][..], 100),
        (&["-c", "3", "-n", "3", "--threads", "2", "--rate", "2k", "--json"], 3),
    ]
    .map(|(flags, connections)| (ClientProcess::start(client(keeping, flags)), connections))
    {
        let report = process.report();
        let seconds = report.json["seconds"].as_f64().expect("a number");
        let waited = began.elapsed().as_secs_f64() - seconds;
        assert_clean(&report, 3 * connections, connections);
        assert!((0.99..30.0).contains(&waited), "{waited}");
    }
    let output = text.output();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    for part in
        ["0 failed; 2 not closed by the server\n", "note      2 connections were not closed"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// A server that does not close, and tells of each connection that the client wants closed.
fn keeping_and_telling() -> (SocketAddr, Receiver<()>) {
    let (closing, arrivals) = mpsc::channel();
    let closing = Mutex::new(closing);
    let address = ending(move |_stream| {
        closing.lock().expect("no panic").send(()).expect("the test waits for it");
        thread::park();
    });
    (address, arrivals)
}

#[test]
fn an_interrupt_while_closing_does_not_extend_the_time() {
    let (keeping, arrivals) = keeping_and_telling();
    let began = Instant::now();
    let flags = ["-c", "3", "-n", "5", "--close", "strict", "--json"];
    let process = ClientProcess::start(client(keeping, &flags));
    (0..3).for_each(|_| arrivals.recv_timeout(PATIENCE).expect("a FIN"));
    let until_closing = began.elapsed().as_secs_f64();
    // The longer this is, the more it would add.
    thread::sleep(Duration::from_millis(300));
    process.signal(Signal::INT);
    let report = process.report();
    assert_eq!((report.code, report.number("messages")), (130, 15), "{report:?}");
    assert!(report.json["seconds"].as_f64() <= Some(until_closing), "{report:?}");
}

/// Other connections would send the rest of the messages.
#[test]
fn an_interrupt_before_a_reconnect_ends_the_time() {
    let (keeping, arrivals) = keeping_and_telling();
    for limit in [["-n", "5"], ["-d", "1h"]] {
        let flags = ["-c", "3", "--reconnect-every", "1", "--close", "strict", "--json"];
        let process = ClientProcess::start(client(keeping, &[&flags[..], &limit].concat()));
        (0..3).for_each(|_| arrivals.recv_timeout(PATIENCE).expect("a FIN"));
        let waiting = Instant::now();
        // The longer this is, the more would be left out.
        thread::sleep(Duration::from_millis(300));
        let waited = waiting.elapsed().as_secs_f64();
        process.signal(Signal::INT);
        let report = process.report();
        assert_eq!((report.code, report.number("messages")), (130, 3), "{report:?}");
        assert!(report.json["seconds"].as_f64() >= Some(waited), "{report:?}");
    }
}

#[test]
fn a_connection_that_the_server_does_not_close_is_replaced() {
    let report = run_json(keeping(), &["-c", "5", "-n", "2", "--reconnect-every", "1"]);
    assert_clean(&report, 10, 10);
    assert_eq!(report.json["connections"]["reopened"], 5, "{report:?}");
}

#[test]
fn a_reset_after_the_last_reply_is_an_error_for_the_strict_alone() {
    let to_fin = ending(reset);
    let to_last_message = server(|_, mut stream| {
        let mut message = [0; 24];
        stream.read_exact(&mut message).expect("a message");
        send(&mut stream, &message);
        reset(stream);
    });
    for resetting in [to_fin, to_last_message] {
        assert_clean(&run_json(resetting, &["-c", "20", "-n", "1"]), 20, 0);
        assert_clean(&run_json(resetting, &["-c", "20", "--hold", "10ms"]), 20, 0);
    }
    let strict = run_json(to_fin, &["-c", "3", "-n", "5", "--close", "strict"]);
    strict.assert_complaints(&[(RESET, 3)]);
    assert_eq!(strict.number("messages"), 15);
}

#[test]
fn bytes_after_the_half_close_are_mismatches() {
    let surplus = ending(|mut stream| {
        send(&mut stream, b"?");
        let _ = stream.shutdown(Shutdown::Write);
    });
    for close in ["fin", "strict"] {
        let report = run_json(surplus, &["-c", "3", "-n", "5", "--close", close]);
        report.assert_complaints(&[("wrong bytes: bytes after the last reply, of 5: 3f", 3)]);
        assert_eq!((report.number("mismatches"), report.number("not_closed")), (3, 0));
    }
}

#[test]
fn a_server_that_closes_before_the_last_reply_is_an_error_in_each_mode() {
    let closing = responding(|stream, _| {
        let _ = stream.shutdown(Shutdown::Both);
    });
    for close in ["fin", "rst", "strict"] {
        let report = run_json(closing, &["-c", "3", "-n", "5", "--close", close]);
        let unanswered = "the server closed a connection that had 1 unanswered";
        report.assert_complaints(&[(unanswered, 3)]);
    }
}

/// A server that notes how the client ends each connection.
fn noting_ends() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let ends = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&ends);
    let address = server(move |_, mut stream| {
        let mut buffer = [0; 4096];
        let end = loop {
            match stream.read(&mut buffer) {
                Ok(0) => break "FIN".to_owned(),
                Ok(count) => stream.write_all(&buffer[..count]).expect("the client reads"),
                Err(error) => break error.kind().to_string(),
            }
        };
        notes.lock().expect("no panic").push(end);
    });
    (address, ends)
}

#[test]
fn connections_end_by_reset_if_asked_to() {
    for (flags, count) in [
        (&["-n", "10"][..], 3),
        (&["-n", "10", "--reconnect-every", "5"], 6),
        (&["-n", "10", "--reconnect-every", "5", "--hold", "10ms"], 6),
        (&["--hold", "10ms"], 3),
    ] {
        for (close, end) in [("rst", "connection reset"), ("fin", "FIN")] {
            let (address, ends) = noting_ends();
            let began = Instant::now();
            let flags = [&["-c", "3", "--close", close], flags].concat();
            let report = run_json(address, &flags);
            assert_eq!((report.code, report.number("not_closed")), (0, 0), "{report:?}");
            assert!(began.elapsed() < PATIENCE);
            eventually("the ends", || ends.lock().expect("no panic").len() == count);
            assert_eq!(*ends.lock().expect("no panic"), vec![end; count], "{flags:?}");
        }
    }
}
