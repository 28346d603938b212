//! A server at its limit of connections, and one that probes connect to.

use std::net::{Shutdown, TcpStream};

use rustix::process::Signal;

use crate::support::server::ServerProcess;
use crate::support::streams::{exchange, read_to_end, reset, round_trip};

/// How many lines of a log have this text.
fn count(log: &str, text: &str) -> usize {
    log.lines().filter(|line| line.contains(text)).count()
}

#[test]
fn a_full_server_says_so_once_and_in_the_end_for_how_long_and_how_many_had_to_wait() {
    let server = ServerProcess::start(&["--max-connections", "2", "--io-threads", "1"]);
    let mut open = [server.connect(), server.connect()];
    open.iter_mut().for_each(|stream| exchange(stream, b"in"));
    server.wait_for_log("WARN 2 connections are open, more have to wait");
    let waiting: Vec<_> = (0..5).map(|_| server.connect()).collect();
    let [stays, leaves] = open;
    drop(leaves);
    // Each takes the one seat, so the server is full hundreds of times within the time that is
    // one shortage.
    waiting.into_iter().for_each(|stream| assert_eq!(round_trip(stream, b"x".to_vec()), b"x"));
    (0..300).for_each(|_| assert_eq!(round_trip(server.connect(), b"x".to_vec()), b"x"));
    drop(stays);
    server.wait_for_log("fewer than 2 connections are open again, after ");
    let log = server.log();
    let lines = [count(&log, "connections are open, more"), count(&log, "are open again, after")];
    assert_eq!(lines, [1, 1], "{log}");
    let line = log.lines().find(|line| line.contains("are open again")).expect("it");
    let waited = line.strip_suffix(" had to wait").and_then(|rest| rest.rsplit(' ').next());
    let waited: u32 = waited.and_then(|text| text.parse().ok()).expect("a number");
    assert!((5..=305).contains(&waited), "{line}");
}

/// The log lines of a connection.
fn lines(log: &str, port: u16) -> Vec<&str> {
    let port = [format!(",port={port}, "), format!(",port={port} ")];
    log.lines().filter(|line| port.iter().any(|port| line.contains(port))).collect()
}

fn port(stream: &TcpStream) -> u16 {
    stream.local_addr().expect("an address").port()
}

#[test]
fn only_connections_that_sent_something_are_logged_if_asked_for() {
    for workers in ["0", "1"] {
        let flags = ["--log-connections", "used", "--workers", workers, "--framing", "line"];
        let mut server = ServerProcess::start(&flags);
        // Probes, and one that stays to the end.
        for _ in 0..50 {
            drop(server.connect());
            reset(server.connect());
        }
        let mut half_closed = server.connect();
        half_closed.shutdown(Shutdown::Write).expect("a half-close");
        read_to_end(&mut half_closed);
        let idle = server.connect();
        // Those that sent: a message, a part of one, and two that stay to the end.
        let whole = server.connect();
        let whole_port = port(&whole);
        assert_eq!(round_trip(whole, b"hello\n".to_vec()), b"hello\n");
        let part = server.connect();
        let part_port = port(&part);
        assert_eq!(round_trip(part, b"hel".to_vec()), b"");
        let mut stays = server.connect();
        exchange(&mut stays, b"a\n");
        exchange(&mut stays, b"b\n");
        server.wait_for_log(&format!(",port={}, thread id is {}.", port(&stays), server.id()));
        assert_eq!(server.counter("accepted"), "105");
        server.signal(Signal::TERM);
        drop(idle);
        read_to_end(&mut stays);
        drop(stays);
        assert_eq!(server.exit_code(), Some(0));
        let log = server.log();
        assert_eq!(count(&log, "new connection fd="), 3, "{log}");
        assert_eq!(count(&log, "connection close fd="), 3, "{log}");
        for (port, end) in
            [(whole_port, "in=6B out=6B reason=eof"), (part_port, "in=3B out=0B reason=truncated")]
        {
            let lines = lines(&log, port);
            assert!(
                matches!(lines[..], [first, last]
                if first.ends_with(&format!(", thread id is {}.", server.id())) && last.ends_with(end)),
                "{lines:?}"
            );
        }
        assert!(log.contains("summary connections=105 messages=3"), "{log}");
    }
}

#[test]
fn a_forced_end_logs_only_connections_that_sent_something_if_asked_for() {
    let mut server = ServerProcess::start(&["--log-connections", "used", "--drain-timeout", "0s"]);
    let (idle, mut used) = (server.connect(), server.connect());
    exchange(&mut used, b"x");
    server.signal(Signal::TERM);
    server.exit_code();
    let log = server.log();
    assert_eq!((lines(&log, port(&used)).len(), lines(&log, port(&idle)).len()), (2, 0), "{log}");
    assert!(log.contains("in=1B out=1B reason=stop"), "{log}");
}

#[test]
fn by_default_a_probe_has_both_of_its_lines() {
    let server = ServerProcess::start(&[]);
    let probe = server.connect();
    let port = port(&probe);
    drop(probe);
    server.wait_for_log("reason=eof");
    assert_eq!(lines(&server.log(), port).len(), 2);
}
