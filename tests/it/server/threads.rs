//! Threads that cannot be started, and threads that end with their server.

use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use reactor_server::program::thread::NotStarted;
use reactor_server::{
    Config, ConnectionId, Echo, Framing, Handler, Reply, SendError, Server, To, WhenFull,
};

use crate::support::client::CLIENT;
use crate::support::running::config;
use crate::support::server::SERVER;
use crate::support::streams::connect;

/// Its count shows how many threads have the handler.
struct Held {
    _count: Arc<()>,
}

impl Handler for Held {
    type Session = ();
    fn opened(&self, _: ConnectionId, _: SocketAddr, _: &mut Reply<'_>) {}
    fn message(&self, (): &mut (), _: &[u8], _: &mut Reply<'_>) {}
}

/// A command as a user of its own that may have this many threads and processes, or `None`
/// where this user cannot become another.
fn with_threads(most: usize, user: u32, program: &str) -> Option<Command> {
    let own = fs::metadata("/proc/self").expect("its owner").uid();
    if own != 0 {
        eprintln!("skipped: only root can become a user with no other threads");
        return None;
    }
    let mut command = Command::new("prlimit");
    command.uid(user).arg(format!("--nproc={most}")).arg(program);
    Some(command)
}

/// A user of this run for a test, which has no process.
fn user(test: u32) -> u32 {
    40_000 + std::process::id() % 5_000 * 4 + test
}

/// Asserts that it ended with 1 and one line, and returns this line.
fn only_line(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(1), &b""[..]), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr.trim_end().to_owned()
}

const NONE_LEFT: &str = "Resource temporarily unavailable (os error 11)";

#[test]
fn without_a_thread_it_never_listens_and_the_error_names_the_thread_and_the_limit() {
    let all = ["worker-0 of 3 threads", "io-0 of 3 threads", "io-1 of 3 threads"];
    // The main thread is one too.
    for (most, thread) in (1..).zip(["log", "signals"].into_iter().chain(all)) {
        let Some(mut command) = with_threads(most, user(0), SERVER) else { return };
        command.args(["127.0.0.1", "0", "--io-threads", "2", "--workers", "1"]);
        let line = only_line(&command.output().expect("it runs"));
        let start =
            format!("error: cannot start thread {thread}: {NONE_LEFT}: ulimit -u is {most}");
        assert!(line.starts_with(&start), "{line}");
    }
}

#[test]
fn a_client_without_a_thread_connects_nowhere_and_names_the_thread_and_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("non-blocking");
    let target = listener.local_addr().expect("an address");
    for (most, thread) in
        [(1, "signals"), (2, "load-0 of 40 threads"), (32, "load-30 of 40 threads")]
    {
        let Some(mut command) = with_threads(most, user(1), CLIENT) else { return };
        command.args([target.ip().to_string(), target.port().to_string()]);
        let line =
            only_line(&command.args(["--threads", "40", "-c", "40"]).output().expect("it runs"));
        let end = format!("cannot start thread {thread}: {NONE_LEFT}: ulimit -u is {most}");
        assert!(line.starts_with("error: ") && line.contains(&end), "{line}");
    }
    let accepted = listener.accept().expect_err("no connection");
    assert_eq!(accepted.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn too_few_descriptors_for_the_threads_are_an_error_that_names_the_limit() {
    let mut command = Command::new("prlimit");
    command.args(["--nofile=50", SERVER, "127.0.0.1", "0", "--io-threads", "30"]);
    let line = only_line(&command.output().expect("it runs"));
    assert!(line.contains("limit of open descriptors (ulimit -n) is too low"), "{line}");
}

#[test]
fn a_server_that_is_dropped_before_it_runs_ends_its_threads() {
    for workers in [0, 2] {
        let held = Arc::new(());
        let config = Config { workers, ..config(Framing::Raw) };
        let server = Server::bind(config, Held { _count: Arc::clone(&held) }).expect("a server");
        let mut waiting = connect(server.local_addr());
        assert!(Arc::strong_count(&held) > 1);
        drop(server);
        assert_eq!(Arc::strong_count(&held), 1, "a thread has the handler");
        let error = waiting.read(&mut [0]).expect_err("nobody listens any more");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}

#[test]
fn a_bind_without_a_thread_ends_the_threads_before_it() {
    const NAME: &str = "server::threads::a_bind_without_a_thread_ends_the_threads_before_it";
    if env::var_os("THREADS_ARE_SHORT").is_some() {
        let held = Arc::new(());
        let config = Config { io_threads: 8, workers: 1, ..config(Framing::Raw) };
        let error = Server::bind(config, Held { _count: Arc::clone(&held) }).expect_err("an error");
        let thread = NotStarted::of(&error).expect("of a thread").to_string();
        assert!(thread.starts_with("cannot start thread io-3 of 9 threads: "), "{thread}");
        assert_eq!(Arc::strong_count(&held), 1, "a thread has the handler");
        return;
    }
    let test = env::current_exe().expect("a path");
    // The threads of the test, a worker and three reactors.
    let Some(mut command) = with_threads(6, user(2), test.to_str().expect("a path")) else {
        return;
    };
    // Its main thread waits for the thread of the test.
    command.args(["--exact", NAME, "--test-threads=2"]).env("THREADS_ARE_SHORT", "1");
    let output = command.output().expect("it runs");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("1 passed"), "{stdout}");
}

#[test]
fn a_server_that_never_ran_or_has_ended_refuses_pushes() {
    let server = Server::bind(config(Framing::Raw), Echo::default()).expect("a server");
    let handle = server.handle();
    drop(server);
    assert_eq!(handle.send(To::All, &[b"x"], WhenFull::Drop), Err(SendError::Ended));
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    let fixed = |length, max_message| Config {
        framing: Framing::Fixed(length),
        max_message,
        ..Config::default()
    };
    for wrong in [
        Config { name: "a\0b".to_owned(), ..Config::default() },
        Config { io_threads: 0, ..Config::default() },
        Config { max_connections: Some(0), ..Config::default() },
        Config { max_message: 0, ..Config::default() },
        Config { tick: Some(Duration::ZERO), ..Config::default() },
        Config { framing: Framing::Delimited(Vec::new()), ..Config::default() },
        fixed(0, 10),
        fixed(11, 10),
    ] {
        let error = Server::bind(wrong.clone(), Echo::default()).expect_err("it makes no sense");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong:?}");
    }
    Server::bind(fixed(10, 10), Echo::default()).expect("a server");
    let many = Config { io_threads: usize::MAX, ..Config::default() };
    Server::bind(many, Echo::default()).expect_err("too many descriptors");
}
