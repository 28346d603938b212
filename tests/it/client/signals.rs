//! A signal ends the client in whatever stage it is, and it reports what was done.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Instant;

use crate::support::client::{Process, Told, client};
use crate::support::fake_server::{liar, server};
use crate::support::{Running, config};
use reactor_server::Framing;

fn running() -> Running {
    Running::echo(config(Framing::Raw))
}

fn messages(server: &Running) -> u64 {
    server.handle.stats().sum(|reactor| &reactor.messages)
}

fn start(target: std::net::SocketAddr, flags: &[&str]) -> Process {
    Process::start(client(target, &[&["-c", "5", "--json"], flags].concat()))
}

/// Interrupts it, and holds that it reports within seconds what is no failure.
fn interrupted(process: Process) -> Told {
    let began = Instant::now();
    process.signal("-INT");
    let told = process.told();
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    assert_eq!((told.code, &told.result["interrupted"]), (130, &true.into()), "{told:?}");
    assert_eq!((told.number("errors"), told.number("mismatches")), (0, 0), "{told:?}");
    told
}

/// One thread, two threads, and threads that wait for others.
const THREADS: [&[&str]; 2] = [&[], &["--threads", "3"]];

#[test]
fn interrupted_while_it_connects_it_reports_what_is_open() {
    for more in THREADS {
        let server = running();
        let process = start(server.address, &[&["--connect-rate", "1", "-d", "1h"], more].concat());
        server.wait_until("one", |stats| stats.acceptor.accepted.get() > 0);
        let told = interrupted(process);
        assert!((0..5).contains(&told.result["connections"]["opened"].as_u64().expect("it")));
        assert_eq!(told.number("messages"), 0);
    }
}

#[test]
fn interrupted_while_it_warms_up_it_has_no_messages() {
    for more in [&[][..], &["--rate", "1k"], &["--threads", "3"]] {
        let server = running();
        let flags = ["--warmup", "1h", "-d", "1h", "--fail-if", "messages<1"];
        let process = start(server.address, &[&flags, more].concat());
        server.wait_until("it talks", |_| messages(&server) > 10);
        let told = interrupted(process);
        assert_eq!((told.number("messages"), told.number("bytes_sent")), (0, 0), "{told:?}");
    }
}

#[test]
fn interrupted_while_it_talks_it_reports_what_was_said() {
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
        server.wait_until("it talks", |_| messages(&server) > 100);
        let told = interrupted(process);
        assert!(told.number("messages") > 0, "{told:?}");
        assert!(told.result["seconds"].as_f64() > Some(0.0), "{told:?}");
    }
    // No reply has ever come.
    let (tell, heard) = mpsc::channel();
    let tell = Mutex::new(tell);
    let silent = liar(move |_, _| tell.lock().expect("no panic").send(()).expect("it"));
    let process = start(silent, &["-d", "1h"]);
    heard.recv_timeout(crate::support::PATIENCE).expect("a message");
    assert_eq!(interrupted(process).number("messages"), 0);
}

#[test]
fn interrupted_while_it_holds_it_reports_what_was_said_before() {
    for more in THREADS {
        let server = running();
        let process = start(server.address, &[&["-n", "10", "--hold", "1h"], more].concat());
        process.wait_to_hear("holding 5 connections for 3600s");
        let told = interrupted(process);
        assert_eq!(told.number("messages"), 50, "{told:?}");
    }
}

/// They are open and say nothing until SIGUSR1 has each echoed once more.
#[test]
fn held_connections_are_open_and_idle_until_they_are_released() {
    for (more, before) in [
        (&[][..], 0),
        (&["-n", "10"], 50),
        (&["-n", "10", "--threads", "3"], 50),
        (&["-n", "10", "--reconnect-every", "5"], 50),
    ] {
        let server = running();
        let process = start(server.address, &[&["--hold", "1h"], more].concat());
        process.wait_to_hear("holding 5 connections");
        server.wait_until("all is said", |_| messages(&server) == before);
        let open = |stats: &reactor_server::Stats| stats.sum(|it| &it.opened) - stats.closed();
        server.wait_until("five are open", |stats| open(stats) == 5);
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert_eq!((messages(&server), open(server.handle.stats())), (before, 5));
        process.signal("-USR1");
        let told = process.told();
        assert_eq!((told.code, told.number("messages")), (0, before + 5), "{told:?}");
        assert_eq!(messages(&server), before + 5);
        assert_eq!(told.number("bytes_sent"), 24 * (before + 5));
        server.wait_until("all are closed", |stats| open(stats) == 0);
    }
}

/// An echo server that does something to its first connection when it is told to, and
/// says when that was closed by the client.
fn meddling(
    meddle: impl Fn(&mut TcpStream) + Send + Sync + 'static,
) -> (std::net::SocketAddr, mpsc::Sender<()>, mpsc::Receiver<()>) {
    let ((tell, told), (say, said)) = (mpsc::channel(), mpsc::channel());
    let (told, say) = (Mutex::new(told), Mutex::new(say));
    let address = server(move |number, mut stream| {
        if number == 0 {
            told.lock().expect("no panic").recv().expect("it is told");
            meddle(&mut stream);
        }
        let mut buffer = [0; 24];
        while stream.read_exact(&mut buffer).is_ok() {
            let _ = stream.write_all(&buffer);
        }
        if number == 0 {
            say.lock().expect("no panic").send(()).expect("it is heard");
        }
    });
    (address, tell, said)
}

fn told_of(meddle: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Told {
    let (address, tell, said) = meddling(meddle);
    let process = start(address, &["--hold", "1h"]);
    process.wait_to_hear("holding 5 connections");
    tell.send(()).expect("it is told");
    // The client does not wait for the end of the hold to notice.
    said.recv_timeout(crate::support::PATIENCE).expect("the client closes it");
    process.signal("-USR1");
    let told = process.told();
    assert_eq!((told.code, told.number("messages")), (1, 4), "{told:?}");
    told
}

#[test]
fn what_happens_to_a_held_connection_is_noticed_at_once() {
    let closed = told_of(|stream| stream.shutdown(Shutdown::Write).expect("it closes"));
    closed.assert_complaints(&[("the server closed a connection that was idle", 1)]);
    let unasked = told_of(|stream| stream.write_all(b"?").expect("it talks"));
    unasked.assert_complaints(&[("wrong bytes: bytes after the last reply, of 0: 3f", 1)]);
}

/// Nobody reads what it prints: the first signal ends the load, the second the program.
#[test]
fn a_second_signal_ends_it_at_once() {
    let server = running();
    let pipe = format!("{}/unread", env!("CARGO_TARGET_TMPDIR"));
    let _ = std::fs::remove_file(&pipe);
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    let process = start(server.address, &["-d", "1h", "-o", &pipe]);
    // Its reader is there and takes nothing, and its pipe is full.
    let mut end = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).expect("a pipe");
    server.wait_until("it talks", |_| messages(&server) > 0);
    for _ in 0..16 {
        end.write_all(&[b' '; 4096]).expect("there is room");
    }
    process.signal("-INT");
    server.wait_until("all are closed", |stats| stats.closed() == 5);
    process.signal("-INT");
    assert_eq!(process.output().status.code(), Some(130));
}
