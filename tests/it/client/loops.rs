//! How connections, threads and rates share a plan.

use std::io::Read;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use crate::support::client::{JsonReport, run_json};
use crate::support::fake_server::{send, server};
use crate::support::running::{Running, config};
use reactor_server::Framing;

/// A server that echoes `most` messages of 24 bytes on each connection, `after` that time
/// each, and closes it.
fn echoing(most: usize, after: Duration) -> SocketAddr {
    server(move |_, mut stream| {
        let mut message = [0; 24];
        for _ in 0..most {
            if stream.read_exact(&mut message).is_err() {
                return;
            }
            thread::sleep(after);
            send(&mut stream, &message);
        }
    })
}

#[test]
fn reconnect_every_replaces_connections_after_n_messages() {
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-c", "5", "-n", "103", "--reconnect-every", "10", "--threads", "2"];
    let JsonReport { code, json: result, .. } = run_json(server.address, &flags);
    assert_eq!((code, &result["messages"]), (0, &515.into()));
    // Eleven each: ten with ten messages, and one with the last three.
    assert_eq!(result["connections"]["opened"], 5);
    assert_eq!(result["connections"]["reopened"], 50);
    server.wait_until("all are closed", |stats| stats.closed() == 55);
    assert_eq!(server.handle.stats().acceptor.accepted.get(), 55);
}

#[test]
fn threads_share_the_connect_rate() {
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-c", "8", "--threads", "8", "--connect-rate", "20", "-n", "1"];
    let JsonReport { code, json: result, .. } = run_json(server.address, &flags);
    // The last of eight opens 350 ms after the first.
    assert!(code == 0 && result["connections"]["seconds"].as_f64() >= Some(0.35), "{result}");
}

#[test]
fn threads_hold_their_connections_at_the_same_time() {
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-c", "3", "--threads", "2", "-n", "2000", "--hold", "50ms"];
    let report = run_json(server.address, &flags);
    assert_eq!((report.code, report.number("messages")), (0, 6003));
    assert_eq!(report.stderr.trim(), "holding 3 connections for 50ms");
}

#[test]
fn held_connections_are_the_ones_that_echo() {
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-c", "5", "-n", "10", "--reconnect-every", "5", "--hold", "50ms"];
    let JsonReport { code, json: result, .. } = run_json(server.address, &flags);
    assert_eq!((code, &result["messages"]), (0, &55.into()));
    server.wait_until("all are closed", |stats| stats.closed() == 10);
    assert_eq!(server.handle.stats().acceptor.accepted.get(), 10);
}

#[test]
fn messages_due_on_closed_connections_count_as_unsent() {
    for plan in [["-d", "500ms"], ["-n", "250"]] {
        let flags = [&["-c", "2", "--rate", "1k"][..], &plan].concat();
        let report = run_json(echoing(10, Duration::ZERO), &flags);
        assert_eq!((report.code, report.number("errors")), (1, 2), "{report:?}");
        // At most one of each connection was under way when it was closed.
        let accounted = report.number("messages") + report.number("unsent");
        assert!((498..=500).contains(&accounted), "{report:?}");
    }
}

#[test]
fn messages_due_during_warmup_are_not_made_up_for() {
    let flags = ["-c", "1", "--rate", "200", "-d", "2s", "--warmup", "1s"];
    let report = run_json(echoing(usize::MAX, Duration::from_millis(20)), &flags);
    let (messages, unsent) = (report.number("messages"), report.number("unsent"));
    assert_eq!((report.code, messages + unsent), (0, 400), "{report:?}");
    // It does 50 a second at most, and fewer on a loaded machine.
    assert!((1..=101).contains(&messages), "{report:?}");
}

#[test]
fn an_impossible_rate_ends_on_time() {
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-c", "2", "--rate", "100m", "-d", "1s"];
    let report = run_json(server.address, &flags);
    assert_eq!(report.number("messages") + report.number("unsent"), 100_000_000, "{report:?}");
    assert!(report.number("messages") > 100, "{report:?}");
}
