//! What of the plan each connection has, and all of them together.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::support::client::{run_json, told};
use crate::support::{Running, config};
use reactor_server::Framing;

/// Echoes so many messages of 24 bytes on each connection, after that time each, and
/// closes it.
fn echoing(most: usize, after: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let talk = move |mut stream: TcpStream| {
        let mut message = [0; 24];
        for _ in 0..most {
            if stream.read_exact(&mut message).is_err() {
                return;
            }
            thread::sleep(after);
            // The client may be gone.
            let _ = stream.write_all(&message);
        }
    };
    thread::spawn(move || {
        listener.incoming().flatten().for_each(|stream| drop(thread::spawn(move || talk(stream))));
    });
    address
}

#[test]
fn a_connection_has_so_many_messages_and_then_another_takes_its_place() {
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-c", "5", "-n", "103", "--reconnect-every", "10", "--threads", "2"];
    let (code, result) = run_json(server.address, &flags);
    assert_eq!((code, &result["messages"]), (0, &515.into()));
    // Eleven each: ten with ten messages, and one with the last three.
    assert_eq!(result["connections"]["opened"], 5);
    assert_eq!(result["connections"]["reopened"], 50);
    server.wait_until("all are closed", |stats| stats.closed() == 55);
    assert_eq!(server.handle.stats().acceptor.accepted.get(), 55);
}

#[test]
fn connections_open_at_their_rate_however_many_threads_open_them() {
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-c", "8", "--threads", "8", "--connect-rate", "20", "-n", "1"];
    let (code, result) = run_json(server.address, &flags);
    // The last of eight opens 350 ms after the first.
    assert!(code == 0 && result["connections"]["seconds"].as_f64() >= Some(0.35), "{result}");
}

#[test]
fn threads_hold_their_connections_together() {
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-c", "3", "--threads", "2", "-n", "2000", "--hold", "50ms"];
    let told = told(server.address, &flags);
    assert_eq!((told.code, told.number("messages")), (0, 6003));
    assert_eq!(told.stderr.trim(), "holding 3 connections for 50ms");
}

#[test]
fn who_was_held_is_who_echoes() {
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-c", "5", "-n", "10", "--reconnect-every", "5", "--hold", "50ms"];
    let (code, result) = run_json(server.address, &flags);
    assert_eq!((code, &result["messages"]), (0, &55.into()));
    server.wait_until("all are closed", |stats| stats.closed() == 10);
    assert_eq!(server.handle.stats().acceptor.accepted.get(), 10);
}

#[test]
fn what_was_due_on_connections_that_are_gone_was_not_sent() {
    for plan in [["-d", "500ms"], ["-n", "250"]] {
        let flags = [&["-c", "2", "--rate", "1k"][..], &plan].concat();
        let told = told(echoing(10, Duration::ZERO), &flags);
        assert_eq!((told.code, told.number("errors")), (1, 2), "{told:?}");
        // At most one of each connection was under way when it was closed.
        let accounted = told.number("messages") + told.number("unsent");
        assert!((498..=500).contains(&accounted), "{told:?}");
    }
}

#[test]
fn what_was_due_while_it_warms_up_is_not_made_up_for() {
    let flags = ["-c", "1", "--rate", "200", "-d", "1s", "--warmup", "1s"];
    let told = told(echoing(usize::MAX, Duration::from_millis(20)), &flags);
    let (messages, unsent) = (told.number("messages"), told.number("unsent"));
    assert_eq!((told.code, messages + unsent), (0, 200), "{told:?}");
    // It does 50 a second at most, and a fifth of that on a loaded machine.
    assert!((10..=51).contains(&messages), "{told:?}");
}

#[test]
fn a_rate_that_nobody_can_keep_ends_in_time() {
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-c", "2", "--rate", "100m", "-d", "300ms"];
    let told = told(server.address, &flags);
    assert_eq!(told.number("messages") + told.number("unsent"), 30_000_000, "{told:?}");
    assert!(told.number("messages") > 100, "{told:?}");
}
