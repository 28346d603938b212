//! The examples, as processes: each serves, and drains at a signal.
//!
//! `cargo test` builds them. With `--test it` alone they are those of the last
//! `cargo build --examples`.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use rustix::process::Signal;

use crate::support::eventually;
use crate::support::server::{SERVER, ServerProcess, new_log};
use crate::support::streams::{noise, read_to_end, round_trip};

/// Each example, and its answer to two lines.
const EXAMPLES: [(&str, &str); 5] = [
    ("blocking", "a\nbc\n"),
    ("count", "line 1 has 1 bytes\nline 2 has 2 bytes\n"),
    ("one_loop", "a\nbc\n"),
    ("two_loops", "a\nbc\n"),
    ("upper", "A\nBC\n"),
];
const LINES: &[u8] = b"a\nbc\n";

fn start(name: &str) -> ServerProcess {
    let path = Path::new(SERVER).with_file_name("examples").join(name);
    assert!(path.exists(), "{} is not built: cargo build --examples", path.display());
    let mut command = Command::new(path);
    command.args(["127.0.0.1", "0"]);
    ServerProcess::spawn(command, new_log())
}

#[test]
fn each_example_answers_what_arrived_and_exits_with_0_at_a_signal() {
    for (name, answer) in EXAMPLES {
        for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
            let mut server = start(name);
            let mut stream = server.connect();
            stream.write_all(LINES).expect("sent");
            server.signal(signal);
            assert_eq!(read_to_end(&mut stream), answer.as_bytes(), "{name} {signal:?}");
            drop(stream);
            assert_eq!(server.exit_code(), Some(0), "{name} {signal:?}");
        }
    }
}

#[test]
fn each_example_answers_many_at_once() {
    for (name, answer) in EXAMPLES {
        let server = start(name);
        let streams: Vec<_> = (0..8).map(|_| server.connect()).collect();
        for mut stream in &streams {
            stream.write_all(LINES).expect("sent");
        }
        for stream in streams {
            assert_eq!(round_trip(stream, Vec::new()), answer.as_bytes(), "{name}");
        }
    }
}

#[test]
fn the_single_threaded_examples_send_back_every_byte_to_a_peer_that_reads_late() {
    for name in ["one_loop", "two_loops"] {
        let server = start(name);
        let bytes = noise(8 * 1024 * 1024);
        assert!(round_trip(server.connect(), bytes.clone()) == bytes, "{name}");
    }
}

#[test]
fn a_single_threaded_example_drains_although_its_peer_goes_on_sending() {
    for name in ["one_loop", "two_loops"] {
        let mut server = start(name);
        let mut stream = server.connect();
        let mut writer = stream.try_clone().expect("a second handle");
        // Until the connection is shut down.
        let lines = LINES.repeat(100_000);
        let sender = thread::spawn(move || while writer.write_all(&lines).is_ok() {});
        stream.read_exact(&mut [0; LINES.len()]).expect("an echo");
        server.signal(Signal::TERM);
        let echoed = read_to_end(&mut stream);
        assert!(echoed.chunks(LINES.len()).all(|chunk| LINES.starts_with(chunk)), "{name}");
        stream.shutdown(Shutdown::Both).expect("a connection");
        sender.join().expect("no panic");
        assert_eq!(server.exit_code(), Some(0), "{name}");
    }
}

#[test]
fn a_second_signal_does_not_wait_for_a_handler_that_blocks() {
    let mut server = start("blocking");
    let mut stream = server.connect();
    // The answers to all of them would take a minute.
    stream.write_all(&LINES.repeat(300)).expect("sent");
    server.signal(Signal::TERM);
    let is_refused = || matches!(TcpStream::connect(server.address), Err(error) if error.kind() == ErrorKind::ConnectionRefused);
    eventually("it drains", is_refused);
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(1));
}

#[test]
fn an_example_without_an_address_says_what_it_needs() {
    for (name, _) in EXAMPLES {
        let path = Path::new(SERVER).with_file_name("examples").join(name);
        let output = Command::new(path).output().expect("a process");
        let usage = format!("usage: {name} IP PORT");
        assert!(String::from_utf8_lossy(&output.stderr).contains(&usage), "{name}");
        assert_eq!(output.status.code(), Some(1), "{name}");
    }
}
