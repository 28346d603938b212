//! Signals that drain a server of the library: which threads block them, and how long.
//!
//! What they do is tested with processes, in `examples.rs`.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;

use crate::support::running::{Running, config};
use crate::support::streams::round_trip;
use reactor_server::{Config, ConnectionId, Echo, Framing, Handler, Reply, Server};
use rustix::process::Signal;

/// Returns whether the calling thread blocks SIGTERM, SIGINT and SIGQUIT. Either all of them
/// must be blocked, or none.
fn are_blocked() -> bool {
    let status = fs::read_to_string("/proc/thread-self/status").expect("a file");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).expect("a mask");
    let mask = u64::from_str_radix(mask.trim(), 16).expect("a number");
    let is_blocked = |signal: Signal| mask & 1 << (signal.as_raw() - 1) != 0;
    let blocked = [Signal::TERM, Signal::INT, Signal::QUIT].map(is_blocked);
    assert!(blocked.iter().all(|it| *it == blocked[0]), "{blocked:?}");
    blocked[0]
}

/// A process has one server at a time that drains on signals.
static TURN: Mutex<()> = Mutex::new(());

/// Answers with whether the thread that handles the message blocks the signals.
struct Blocked;

impl Handler for Blocked {
    type Session = bool;

    fn opened(&self, _: ConnectionId, _: SocketAddr, _: &mut Reply<'_>) -> bool {
        are_blocked()
    }

    fn message(&self, on_reactor: &mut bool, _: &[u8], reply: &mut Reply<'_>) {
        reply.send(&[format!("{on_reactor} {}", are_blocked()).as_bytes()]);
    }
}

#[test]
fn no_thread_of_a_server_that_drains_on_signals_receives_them() {
    let _turn = TURN.lock();
    for drain_on_signals in [false, true] {
        let config = Config { workers: 1, drain_on_signals, ..config(Framing::line()) };
        let server = Running::start(config, Blocked);
        let answer = format!("{drain_on_signals} {drain_on_signals}\n");
        assert_eq!(round_trip(server.connect(), b"?\n".to_vec()), answer.as_bytes());
    }
}

#[test]
fn signals_are_blocked_from_the_start_of_a_server_to_its_end() {
    let _turn = TURN.lock();
    assert!(!are_blocked());
    let config = Config { drain_on_signals: true, ..config(Framing::Raw) };
    let server = Server::bind(config.clone(), Echo::default()).expect("a server");
    assert!(are_blocked());
    server.handle().drain();
    server.run().expect("an end");
    assert!(!are_blocked());

    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    Server::bind(Config { address, ..config.clone() }, Echo::default()).expect_err("in use");
    assert!(!are_blocked());

    let one = Server::bind(config.clone(), Echo::default()).expect("a server");
    let another = Server::bind(config.clone(), Echo::default()).expect_err("one takes the signals");
    assert_eq!(another.kind(), ErrorKind::ResourceBusy);
    drop(one);
    assert!(!are_blocked());
    drop(Server::bind(config, Echo::default()).expect("a server"));
}
