//! A signal ends the client in any stage, and it reports what it did.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use reactor_server::Framing;
use rustix::process::Signal;

use crate::small_pipe;
use crate::support::PATIENCE;
use crate::support::client::{ClientProcess, JsonReport, client};
use crate::support::fake_server::{responding, server};
use crate::support::pipes::named_pipe;
use crate::support::running::{Running, config};
use crate::support::server::ServerProcess;

fn running() -> Running {
    Running::echo(config(Framing::Raw))
}

fn messages(server: &Running) -> u64 {
    server.handle.stats().sum(|reactor| &reactor.messages)
}

fn start(target: std::net::SocketAddr, flags: &[&str]) -> ClientProcess {
    ClientProcess::start(client(target, &[&["-c", "5", "--json"], flags].concat()))
}

/// Interrupts it, and asserts that it ends within seconds and reports no failure.
fn interrupted(process: ClientProcess) -> JsonReport {
    let began = Instant::now();
    process.signal(Signal::INT);
    let report = process.report();
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    assert_eq!((report.code, &report.json["interrupted"]), (130, &true.into()), "{report:?}");
    assert_eq!((report.number("errors"), report.number("mismatches")), (0, 0), "{report:?}");
    report
}

/// One thread, two threads, and threads that wait for others.
const THREADS: [&[&str]; 2] = [&[], &["--threads", "3"]];

#[test]
fn an_interrupt_while_connecting_reports_open_connections() {
    for more in THREADS {
        let server = running();
        let process = start(server.address, &[&["--connect-rate", "1", "-d", "1h"], more].concat());
        server.wait_until("one", |stats| stats.acceptor.accepted.get() > 0);
        let report = interrupted(process);
        assert!((0..5).contains(&report.json["connections"]["opened"].as_u64().expect("it")));
        assert_eq!(report.number("messages"), 0);
    }
}

#[test]
fn an_interrupt_during_warmup_reports_no_messages() {
    for more in [&[][..], &["--rate", "1k"], &["--threads", "3"]] {
        let server = running();
        let flags = ["--warmup", "1h", "-d", "1h", "--fail-if", "messages<1"];
        let process = start(server.address, &[&flags, more].concat());
        server.wait_until("messages arrive", |_| messages(&server) > 10);
        let report = interrupted(process);
        assert_eq!((report.number("messages"), report.number("bytes_sent")), (0, 0), "{report:?}");
    }
}

#[test]
fn an_interrupt_while_running_reports_the_messages_so_far() {
    for more in [
        &[][..],
        &["--rate", "1k"],
        &["--threads", "3"],
        &["--reconnect-every", "1"],
        &["--hold", "1h"],
        &["--pipeline", "32"],
    ] {
        let server = running();
        let process = start(server.address, &[&["-d", "1h"], more].concat());
        server.wait_until("messages arrive", |_| messages(&server) > 100);
        let report = interrupted(process);
        assert!(report.number("messages") > 0, "{report:?}");
        assert!(report.json["seconds"].as_f64() > Some(0.0), "{report:?}");
    }
    // No reply arrives at all.
    let (sender, arrivals) = mpsc::channel();
    let sender = Mutex::new(sender);
    let silent =
        responding(move |_, _| sender.lock().expect("no panic").send(()).expect("a receiver"));
    let process = start(silent, &["-d", "1h"]);
    arrivals.recv_timeout(PATIENCE).expect("a message");
    assert_eq!(interrupted(process).number("messages"), 0);
}

#[test]
fn an_interrupt_while_holding_reports_the_messages_before() {
    for more in THREADS {
        let server = running();
        let process = start(server.address, &[&["-n", "10", "--hold", "1h"], more].concat());
        process.wait_for_stderr("holding 5 connections for 3600s");
        let report = interrupted(process);
        assert_eq!(report.number("messages"), 50, "{report:?}");
    }
}

/// As on a machine that is suspended: the server goes on a moment later than the client.
#[test]
fn the_time_in_which_a_client_is_stopped_is_not_time_to_reply() {
    let server = ServerProcess::start(&[]);
    let flags = ["-c", "600", "-d", "1h", "--timeout", "3s", "--json"];
    let process = ClientProcess::start(client(server.address, &flags));
    server.wait_until_busy();
    server.signal(Signal::STOP);
    process.signal(Signal::STOP);
    thread::sleep(Duration::from_millis(3500));
    process.signal(Signal::CONT);
    thread::sleep(Duration::from_millis(500));
    server.signal(Signal::CONT);
    server.wait_until_busy();
    assert!(interrupted(process).number("messages") > 0);
}

/// They send nothing until SIGUSR1, then one more message each.
#[test]
fn held_connections_stay_open_and_idle_until_released() {
    for (more, before) in [
        (&[][..], 0),
        (&["-n", "10"], 50),
        (&["-n", "10", "--threads", "3"], 50),
        (&["-n", "10", "--reconnect-every", "5"], 50),
    ] {
        let server = running();
        let process = start(server.address, &[&["--hold", "1h"], more].concat());
        process.wait_for_stderr("holding 5 connections");
        server.wait_until("all messages", |_| messages(&server) == before);
        let open = |stats: &reactor_server::Stats| stats.sum(|it| &it.opened) - stats.closed();
        server.wait_until("five are open", |stats| open(stats) == 5);
        thread::sleep(Duration::from_millis(200));
        assert_eq!((messages(&server), open(server.handle.stats())), (before, 5));
        process.signal(Signal::USR1);
        let report = process.report();
        assert_eq!((report.code, report.number("messages")), (0, before + 5), "{report:?}");
        assert_eq!(messages(&server), before + 5);
        assert_eq!(report.number("bytes_sent"), 24 * (before + 5));
        server.wait_until("all are closed", |stats| open(stats) == 0);
    }
}

/// Holds connections to a server that does something to the first one, and returns the
/// report.
fn report_after(meddle: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> JsonReport {
    let ((go, started), (closed, closes)) = (mpsc::channel(), mpsc::channel());
    let (started, closed) = (Mutex::new(started), Mutex::new(closed));
    let address = server(move |number, mut stream| {
        if number == 0 {
            started.lock().expect("no panic").recv().expect("the test sends it");
            meddle(&mut stream);
        }
        let mut buffer = [0; 24];
        while stream.read_exact(&mut buffer).is_ok() {
            let _ = stream.write_all(&buffer);
        }
        if number == 0 {
            closed.lock().expect("no panic").send(()).expect("the test waits for it");
        }
    });
    let process = start(address, &["--hold", "1h"]);
    process.wait_for_stderr("holding 5 connections");
    go.send(()).expect("the server waits for it");
    // The client notices before the hold ends.
    closes.recv_timeout(PATIENCE).expect("the client closes it");
    process.signal(Signal::USR1);
    let report = process.report();
    assert_eq!((report.code, report.number("messages")), (1, 4), "{report:?}");
    report
}

#[test]
fn trouble_on_a_held_connection_is_noticed_at_once() {
    let closed = report_after(|stream| stream.shutdown(Shutdown::Write).expect("it closes"));
    closed.assert_complaints(&[("the server closed a connection that was idle", 1)]);
    let unsolicited = report_after(|stream| stream.write_all(b"?").expect("messages arrive"));
    unsolicited.assert_complaints(&[("wrong bytes: bytes after the last reply, of 0: 3f", 1)]);
}

/// Its output pipe is full, so the first signal ends the load and the second the program.
#[test]
fn a_second_signal_ends_it_at_once() {
    let server = running();
    let (path, mut pipe) = named_pipe("unread");
    pipe.write_all(&[b' '; small_pipe::SIZE]).expect("there is room");
    let path = path.to_str().expect("a path");
    let process = start(server.address, &["-d", "1h", "-o", path]);
    server.wait_until("messages arrive", |_| messages(&server) > 0);
    process.signal(Signal::INT);
    server.wait_until("all are closed", |stats| stats.closed() == 5);
    process.signal(Signal::INT);
    assert_eq!(process.output().status.code(), Some(130));
}
