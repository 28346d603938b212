//! Whatever a server or a network does during a run, the client ends and reports what was
//! wrong: one line for each kind, with its count.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::support::client::{CLIENT, ClientProcess, JsonReport, client, run_json};
use crate::support::fake_server::{Wire, answering, echo, server};
use crate::support::server::ServerProcess;
use crate::support::streams::reset;
use crate::support::unused_address;

/// Flags that each test adds in turn.
const MODES: [&[&str]; 4] =
    [&[], &["--rate", "2k"], &["--reconnect-every", "30"], &["--hold", "1h"]];

const RESET: &str = "the connection broke: Connection reset by peer (os error 104)";
const REFUSED: &str = "Connection refused (os error 111)";
const TOO_MANY: &str = "Too many open files (os error 24)";
const IDLE: &str = "the server closed a connection that was idle";

/// For replies that never arrive. Where the server ends a connection, the client waits for it.
const SHORT: &[&str] = &["--timeout", "300ms"];

/// Runs the client with three connections, in each mode. It must end within seconds, with
/// an error on each of the three and no mismatch.
fn in_each_mode(server: SocketAddr, more: &[&str], is_expected: impl Fn(&str) -> bool) {
    for mode in MODES {
        let flags = [&["-c", "3", "-n", "100"], more].concat();
        let began = Instant::now();
        let report = run_json(server, &[&flags[..], mode].concat());
        assert!(began.elapsed() < Duration::from_secs(5), "{mode:?}: {:?}", began.elapsed());
        assert_eq!((report.code, report.number("errors")), (1, 3), "{mode:?}: {report:?}");
        assert_eq!(report.number("mismatches"), 0, "{mode:?}: {report:?}");
        let complaints = report.complaints();
        assert!(complaints.iter().all(|(text, _)| is_expected(text)), "{mode:?}: {report:?}");
        assert_eq!(complaints.iter().map(|(_, times)| times).sum::<u64>(), 3, "{report:?}");
    }
}

#[test]
fn a_reset_connection_is_an_error() {
    let resetting = server(|_, stream| {
        reset(echo(stream, 20));
    });
    in_each_mode(resetting, &[], |text| text == RESET);
}

#[test]
fn a_stalled_connection_is_an_error() {
    let stalling = server(|_, stream| {
        let mut stream = echo(stream, 20);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    in_each_mode(stalling, SHORT, |text| text == "no reply in time");
}

#[test]
fn an_early_half_close_is_an_error() {
    let closing = server(|_, stream| {
        let mut stream = echo(stream, 20);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let unanswered = "the server closed a connection that had 1 unanswered";
    // With a rate, no message may be under way at that moment.
    in_each_mode(closing, &[], |text| text == unanswered || text == IDLE);
}

#[test]
fn a_server_that_never_closes_is_an_error_for_the_strict() {
    let keeping = server(|_, stream| {
        let _stream = echo(stream, 100);
        thread::park();
    });
    thread::scope(|scope| {
        for mode in &MODES[..2] {
            scope.spawn(move || {
                // A server that is late by less than that still replies.
                let flags = ["-c", "3", "-n", "100", "--timeout", "2s", "--close", "strict"];
                let report = run_json(keeping, &[&flags[..], mode].concat());
                report.assert_complaints(&[("the server did not close after the last reply", 3)]);
                assert_eq!(report.number("messages"), 300);
            });
        }
    });
}

#[test]
fn refused_connections_are_counted_by_reason() {
    let address = unused_address();
    in_each_mode(address, &[], |text| text == format!("cannot connect: {REFUSED}"));
    let report = run_json(address, &["-c", "3", "--threads", "2"]);
    let connections = &report.json["connections"];
    assert_eq!((&connections["failed"], &connections["opened"]), (&3.into(), &0.into()));
    assert_eq!(connections["failures"], serde_json::json!({ REFUSED: 3 }));
}

/// A listener that accepts nothing and has room for one connection.
fn full_listener() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(&any.into()).expect("a port");
    socket.listen(1).expect("a listener");
    let address = socket.local_addr().expect("it").as_socket().expect("an IP address");
    (socket, address)
}

#[test]
fn connects_without_an_answer_time_out() {
    let flags = ["-c", "10", "-n", "5", "--connect-timeout", "500ms", "--timeout", "300ms"];
    for mode in MODES {
        let (_listener, address) = full_listener();
        let report = run_json(address, &[&flags[..], mode].concat());
        let connections = &report.json["connections"];
        let failed = connections["failed"].as_u64().expect("a number");
        assert_eq!((report.code, report.number("errors")), (1, 10), "{report:?}");
        assert!((1..10).contains(&failed), "{report:?}");
        assert_eq!(connections["opened"], 10 - failed, "{report:?}");
        assert_eq!(connections["failures"]["no answer in time"], failed);
        report.assert_complaints(&[
            ("cannot connect: no answer in time", failed),
            ("no reply in time", 10 - failed),
        ]);
    }
}

/// The descriptor limit allows 66 connections, but inherited descriptors take most of them.
#[test]
fn running_out_of_descriptors_is_counted() {
    let address = answering(Wire::Raw(24), |_, message| message);
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    let script =
        "for i in {1..70}; do exec {fd}</dev/null; done; exec prlimit --nofile=100:100 \"$@\"";
    for mode in [&[][..], &["--reconnect-every", "2"], &["--rate", "10k"]] {
        let mut command = Command::new("bash");
        command.args(["-c", script, "bash", CLIENT, &ip, &port]);
        command.args(["-c", "50", "-n", "5", "--json"]).args(mode);
        let report = ClientProcess::start(command).report();
        let connections = &report.json["connections"];
        let number = |key: &str| connections[key].as_u64().expect("a number");
        let (opened, failed) = (number("opened"), number("failed"));
        assert!(opened > 5 && opened + failed == 50, "{report:?}");
        // A connection that reopens needs the descriptor that it has just closed, which
        // the client may need at that moment to read its own resource usage.
        let errors = report.number("errors");
        let lost = errors - failed;
        assert!(lost <= if mode.contains(&"--reconnect-every") { 2 } else { 0 }, "{report:?}");
        report.assert_complaints(&[(&format!("cannot connect: {TOO_MANY}"), errors)]);
        assert_eq!(connections["failures"], serde_json::json!({ TOO_MANY: errors }));
        assert!((5 * (opened - lost)..=5 * opened).contains(&report.number("messages")));
    }
}

/// Kills the server during a run.
fn report_while_killed(flags: &[&str], held: bool) -> JsonReport {
    let mut server = ServerProcess::start(&["-t", "1"]);
    let flags = [&["-c", "5", "--json"], flags].concat();
    let process = ClientProcess::start(client(server.address, &flags));
    match held {
        true => process.wait_for_stderr("holding 5 connections"),
        false => server.wait_until_busy(),
    }
    server.kill();
    process.report()
}

#[test]
fn a_killed_server_is_an_error_on_each_connection() {
    for mode in [&["-d", "1h"][..], &["-d", "1h", "--rate", "1k"], &["-n", "10", "--hold", "1h"]] {
        let report = report_while_killed(mode, mode.contains(&"--hold"));
        assert_eq!((report.code, report.number("errors")), (1, 5), "{mode:?}: {report:?}");
        assert_eq!(report.number("mismatches"), 0);
    }
}

/// A connection that reopens may also be refused.
#[test]
fn a_server_killed_while_connections_reopen_is_an_error_on_each() {
    let report = report_while_killed(&["-d", "1h", "--reconnect-every", "1"], false);
    assert_eq!((report.code, report.number("errors")), (1, 5), "{report:?}");
    let failures = report.json["connections"]["failures"].as_object().expect("an object");
    assert!(failures.keys().all(|why| why == REFUSED || why.contains("reset")), "{report:?}");
}

/// Open connections are lost, those in between are refused, and later ones are served.
#[test]
fn a_restarted_server_serves_later_connections() {
    let mut first = ServerProcess::start(&["-t", "1"]);
    let flags = ["-c", "150", "--connect-rate", "100", "-n", "10", "--json"];
    let process = ClientProcess::start(client(first.address, &flags));
    first.wait_for_log("new connection fd=");
    first.kill();
    // At 100 connections per second, some are refused.
    thread::sleep(Duration::from_millis(100));
    let _second = ServerProcess::start_at(first.address);
    let report = process.report();
    assert_eq!((report.code, report.number("mismatches")), (1, 0), "{report:?}");
    assert!(report.number("messages") > 0, "{report:?}");
    assert_eq!(report.number("messages"), 10 * (150 - report.number("errors")), "{report:?}");
    assert_eq!(
        report.complaints().iter().map(|(_, times)| times).sum::<u64>(),
        report.number("errors")
    );
}

/// However many kinds of complaints there are.
#[test]
fn every_failure_is_part_of_a_complaint() {
    let lying = server(|number, stream| {
        let mut stream = echo(stream, number);
        let mut message = [0; 24];
        if stream.read_exact(&mut message).is_ok() {
            message[0] ^= 1;
            let _ = stream.write_all(&message);
        }
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let report = run_json(lying, &["-c", "50", "-n", "100"]);
    assert_eq!((report.code, report.number("mismatches")), (1, 50), "{report:?}");
    let complaints = report.complaints();
    assert!(complaints.len() <= 40, "{complaints:?}");
    assert_eq!(complaints.iter().map(|(_, times)| times).sum::<u64>(), 50, "{complaints:?}");
}
