//! Whatever a server or a network does in mid-run, the client ends, and says what was
//! wrong: one line for each kind, with its number.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::client::{Process, Told, client, run_json, told};
use crate::support::fake_server::{Wire, answering, send, server};
use crate::support::server::Program;
use socket2::{Domain, SockRef, Socket, Type};

/// What may be asked of a client beside.
const MODES: [&[&str]; 4] =
    [&[], &["--rate", "2k"], &["--reconnect-every", "30"], &["--hold", "1h"]];

const RESET: &str = "the connection broke: Connection reset by peer (os error 104)";
const REFUSED: &str = "Connection refused (os error 111)";
const TOO_MANY: &str = "Too many open files (os error 24)";
const IDLE: &str = "the server closed a connection that was idle";

/// Echoes so many messages of 24 bytes, and hands back the connection.
fn echo(mut stream: TcpStream, count: usize) -> TcpStream {
    let mut message = [0; 24];
    for _ in 0..count {
        match stream.read_exact(&mut message) {
            Ok(()) => send(&mut stream, &message),
            Err(_) => break,
        }
    }
    stream
}

/// Runs it on three connections, in each mode. It ends by itself, within seconds, with
/// an error on each of the three, and none of them is a mismatch.
fn in_each_mode(server: SocketAddr, is_expected: impl Fn(&str) -> bool) {
    for mode in MODES {
        let flags = ["-c", "3", "-n", "100", "--timeout", "300ms"];
        let began = Instant::now();
        let told = told(server, &[&flags[..], mode].concat());
        assert!(began.elapsed() < Duration::from_secs(5), "{mode:?}: {:?}", began.elapsed());
        assert_eq!((told.code, told.number("errors")), (1, 3), "{mode:?}: {told:?}");
        assert_eq!(told.number("mismatches"), 0, "{mode:?}: {told:?}");
        let complaints = told.complaints();
        assert!(complaints.iter().all(|(text, _)| is_expected(text)), "{mode:?}: {told:?}");
        assert_eq!(complaints.iter().map(|(_, times)| times).sum::<u64>(), 3, "{told:?}");
    }
}

#[test]
fn connections_that_are_reset_are_errors() {
    let resetting = server(|_, stream| {
        let stream = echo(stream, 20);
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
    });
    in_each_mode(resetting, |text| text == RESET);
}

#[test]
fn connections_that_stall_are_given_up() {
    let stalling = server(|_, stream| {
        let mut stream = echo(stream, 20);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    in_each_mode(stalling, |text| text == "no reply in time");
}

#[test]
fn connections_that_are_half_closed_too_early_are_errors() {
    let closing = server(|_, stream| {
        let mut stream = echo(stream, 20);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let unanswered = "the server closed a connection that had 1 unanswered";
    // On a schedule it may have nothing to say just then.
    in_each_mode(closing, |text| text == unanswered || text == IDLE);
}

/// Who has closed too early is not waited for.
#[test]
fn a_server_that_does_not_close_in_turn_is_an_error() {
    let keeping = server(|_, stream| {
        let stream = echo(stream, 100);
        std::thread::sleep(Duration::from_secs(10));
        drop(stream);
    });
    for mode in &MODES[..2] {
        let flags = ["-c", "3", "-n", "100", "--timeout", "300ms"];
        let told = told(keeping, &[&flags[..], mode].concat());
        told.assert_complaints(&[("the server did not close after the last reply", 3)]);
        assert_eq!(told.number("messages"), 300);
    }
}

#[test]
fn connections_that_are_refused_are_counted_by_their_reason() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it");
    in_each_mode(nobody, |text| text == format!("cannot connect: {REFUSED}"));
    let (_, result) = run_json(nobody, &["-c", "3", "--threads", "2"]);
    let connections = &result["connections"];
    assert_eq!((&connections["failed"], &connections["opened"]), (&3.into(), &0.into()));
    assert_eq!(connections["failures"], serde_json::json!({ REFUSED: 3 }));
}

/// A listener that nobody takes connections from, and that has room for one.
fn full() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(&any.into()).expect("a port");
    socket.listen(1).expect("a listener");
    let address = socket.local_addr().expect("it").as_socket().expect("an IP address");
    (socket, address)
}

#[test]
fn connections_that_are_not_answered_are_given_up() {
    let flags = ["-c", "10", "-n", "5", "--connect-timeout", "500ms", "--timeout", "300ms"];
    for mode in MODES {
        let (_listener, address) = full();
        let told = told(address, &[&flags[..], mode].concat());
        let connections = &told.result["connections"];
        let failed = connections["failed"].as_u64().expect("a number");
        assert_eq!((told.code, told.number("errors")), (1, 10), "{told:?}");
        assert!((1..10).contains(&failed), "{told:?}");
        assert_eq!(connections["opened"], 10 - failed, "{told:?}");
        assert_eq!(connections["failures"]["no answer in time"], failed);
        told.assert_complaints(&[
            ("cannot connect: no answer in time", failed),
            ("no reply in time", 10 - failed),
        ]);
    }
}

/// The limit of descriptors says that 66 connections are possible, but most of them are
/// taken by what the client has inherited.
#[test]
fn descriptors_that_run_out_all_the_same_are_counted() {
    let address = answering(Wire::Raw(24), |_, message| message);
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    let script =
        "for i in {1..70}; do exec {fd}</dev/null; done; exec prlimit --nofile=100:100 \"$@\"";
    for mode in [&[][..], &["--reconnect-every", "2"], &["--rate", "10k"]] {
        let mut command = Command::new("bash");
        command.args(["-c", script, "bash", env!("CARGO_BIN_EXE_client"), &ip, &port]);
        command.args(["-c", "50", "-n", "5", "--json"]).args(mode);
        let told = Process::start(command).told();
        let connections = &told.result["connections"];
        let number = |key: &str| connections[key].as_u64().expect("a number");
        let (opened, failed) = (number("opened"), number("failed"));
        assert!(opened > 5 && opened + failed == 50, "{told:?}");
        // One that comes back needs the descriptor that it has just given back, which
        // those may have at that moment who read what the client has used.
        let errors = told.number("errors");
        let lost = errors - failed;
        assert!(lost <= if mode.contains(&"--reconnect-every") { 2 } else { 0 }, "{told:?}");
        told.assert_complaints(&[(&format!("cannot connect: {TOO_MANY}"), errors)]);
        assert_eq!(connections["failures"], serde_json::json!({ TOO_MANY: errors }));
        assert!((5 * (opened - lost)..=5 * opened).contains(&told.number("messages")));
    }
}

/// Kills the server once this client talks.
fn told_while_killed(flags: &[&str], held: bool) -> Told {
    let mut server = Program::start();
    let flags = [&["-c", "5", "--json"], flags].concat();
    let process = Process::start(client(server.address, &flags));
    match held {
        true => process.wait_to_hear("holding 5 connections"),
        false => server.wait_until_busy(),
    }
    server.kill();
    process.told()
}

#[test]
fn a_server_that_is_killed_is_an_error_on_each_connection() {
    for mode in [&["-d", "1h"][..], &["-d", "1h", "--rate", "1k"], &["-n", "10", "--hold", "1h"]] {
        let told = told_while_killed(mode, mode.contains(&"--hold"));
        assert_eq!((told.code, told.number("errors")), (1, 5), "{mode:?}: {told:?}");
        assert_eq!(told.number("mismatches"), 0);
    }
}

/// A connection that comes back may find nobody, too.
#[test]
fn a_server_that_is_killed_while_connections_come_and_go_is_an_error_on_each() {
    let told = told_while_killed(&["-d", "1h", "--reconnect-every", "1"], false);
    assert_eq!((told.code, told.number("errors")), (1, 5), "{told:?}");
    let failures = told.result["connections"]["failures"].as_object().expect("an object");
    assert!(failures.keys().all(|why| why == REFUSED || why.contains("reset")), "{told:?}");
}

/// Those that were open are lost, those in between find nobody, and those that come
/// later are served.
#[test]
fn a_server_that_is_restarted_serves_who_comes_then() {
    let mut first = Program::start();
    let flags = ["-c", "150", "--connect-rate", "100", "-n", "10", "--json"];
    let process = Process::start(client(first.address, &flags));
    std::thread::sleep(Duration::from_millis(200));
    first.kill();
    std::thread::sleep(Duration::from_millis(100));
    let _second = Program::start_at(first.address);
    let told = process.told();
    assert_eq!((told.code, told.number("mismatches")), (1, 0), "{told:?}");
    assert!(told.number("messages") > 0, "{told:?}");
    assert_eq!(told.number("messages"), 10 * (150 - told.number("errors")), "{told:?}");
    assert_eq!(
        told.complaints().iter().map(|(_, times)| times).sum::<u64>(),
        told.number("errors")
    );
}

/// However many kinds of complaints there are, each failure is part of one.
#[test]
fn no_failure_is_left_out_of_the_complaints() {
    let lying = server(|number, stream| {
        let mut stream = echo(stream, number);
        let mut message = [0; 24];
        if stream.read_exact(&mut message).is_ok() {
            message[0] ^= 1;
            let _ = stream.write_all(&message);
        }
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let told = told(lying, &["-c", "50", "-n", "100"]);
    assert_eq!((told.code, told.number("mismatches")), (1, 50), "{told:?}");
    let complaints = told.complaints();
    assert!(complaints.len() <= 40, "{complaints:?}");
    assert_eq!(complaints.iter().map(|(_, times)| times).sum::<u64>(), 50, "{complaints:?}");
}
