//! The programs: their flags, their exit codes, their log, their signals.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::{PATIENCE, eventually, fill, round_trip};

const SERVER: &str = env!("CARGO_BIN_EXE_server");
const CLIENT: &str = env!("CARGO_BIN_EXE_client");

/// A `server` process on a port of its own, with a log file; killed at the end.
struct Process {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Process {
    fn start(name: &str, flags: &[&str]) -> Process {
        let log = fresh_log(name);
        let mut command = Command::new(SERVER);
        command.args(["127.0.0.1", "0", "--log-file"]).arg(&log).args(flags);
        Process::spawn(command, log)
    }

    fn spawn(mut command: Command, log: PathBuf) -> Process {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("a process");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening on ").expect("its address");
        Process { child, address: address.parse().expect("an address"), log }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    fn signal(&self, signal: libc::c_int) {
        let pid = self.child.id().to_string();
        let kill = Command::new("kill").args([format!("-{signal}"), pid]).status();
        assert!(kill.expect("kill").success());
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn wait_for_log(&self, text: &str) {
        eventually(text, || self.log().contains(text));
    }

    fn exit_code(&mut self) -> Option<i32> {
        let mut code = None;
        eventually("the exit", || {
            code = self.child.try_wait().expect("a status");
            code.is_some()
        });
        code.and_then(|status| status.code())
    }

    fn is_alive(&self) -> bool {
        round_trip(self.connect(), b"alive?".to_vec()) == b"alive?"
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a log goes, and none is yet.
fn fresh_log(name: &str) -> PathBuf {
    let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.log"));
    let _ = fs::remove_file(&log);
    log
}

fn run(program: &str, flags: &[&str]) -> Output {
    Command::new(program).args(flags).output().expect("it runs")
}

/// The exit code, and that the complaint is there and names the problem.
fn complains(program: &str, flags: &[&str], code: i32, about: &str) {
    let output = run(program, flags);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{flags:?}: {stderr}");
    assert!(stderr.contains(about) && stderr.contains("error: "), "{flags:?}: {stderr}");
    assert!(output.stdout.is_empty());
}

#[test]
fn wrong_flags_are_usage_errors_with_a_reason() {
    complains(SERVER, &["not-an-address"], 2, "invalid IP address");
    complains(SERVER, &["127.0.0.1", "70000"], 2, "70000 is not in 0..=65535");
    complains(SERVER, &["--io-threads", "0"], 2, "0 is not in 1..=4096");
    complains(SERVER, &["--workers", "many"], 2, "invalid digit");
    complains(SERVER, &["--framing", "xml"], 2, "possible values: raw, len32, line");
    complains(SERVER, &["--idle-timeout", "soon"], 2, "try 500ms, 10s or 1m");
    complains(SERVER, &["--busy-poll", "0us"], 2, "must be more than nothing");
    complains(SERVER, &["--max-connections", "0"], 2, "must be at least 1");
    complains(SERVER, &["--max-message", "3g"], 2, "must be at most 2g");
    complains(SERVER, &["--reply-prefix", "reply:"], 2, "add --framing len32 or line");
    complains(CLIENT, &[], 2, "<IP>");
    complains(CLIENT, &["127.0.0.1", "0"], 2, "0 is not in 1..=65535");
    complains(CLIENT, &["127.0.0.1", "9", "5", "-c", "7"], 2, "give one of them");
    complains(CLIENT, &["127.0.0.1", "9", "--size", "0"], 2, "must be at least 1");
    complains(CLIENT, &["127.0.0.1", "9", "--percentiles", "101"], 2, "from 0 to 100");
}

#[test]
fn a_port_in_use_is_one_clear_line_and_nothing_half_started() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let output = run(SERVER, &["127.0.0.1", &port]);
    assert_eq!(output.status.code(), Some(1));
    let expected = format!("error: cannot listen on 127.0.0.1:{port}: Address already in use");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with(&expected) && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn an_address_that_is_not_ours_and_a_log_that_cannot_be_written_are_errors() {
    complains(SERVER, &["192.0.2.1", "0"], 1, "cannot listen on 192.0.2.1:0: Cannot assign");
    complains(
        SERVER,
        &["--log-file", "/no/such/folder/log"],
        1,
        "cannot write the log to /no/such",
    );
}

#[test]
fn flags_come_before_variables_and_those_before_defaults() {
    let log = fresh_log("variables");
    let mut command = Command::new(SERVER);
    command.args(["127.0.0.1", "0", "--workers", "1", "--log-file"]).arg(&log);
    command.env("SERVER_IO_THREADS", "3").env("SERVER_WORKERS", "2");
    let server = Process::spawn(command, log);
    server.wait_for_log("io-threads=3 workers=1 framing=raw");
}

#[test]
fn the_log_has_the_lines_that_people_and_scripts_read() {
    let mut server = Process::start("lines", &["--io-threads", "1"]);
    let stream = server.connect();
    let port = stream.local_addr().expect("an address").port();
    assert_eq!(round_trip(stream, b"hello".to_vec()), b"hello");
    server.signal(libc::SIGTERM);
    assert_eq!(server.exit_code(), Some(0));
    let (log, pid) = (server.log(), server.child.id());
    let opened = format!(",ip=127.0.0.1,port={port}, thread id is {pid}.");
    let line = log.lines().find(|line| line.contains("new connection fd=")).expect("its line");
    assert!(line.ends_with(&opened), "{line}");
    // 2026-05-04 21:45:21.103
    let (date, time) = (&line[..10], &line[11..23]);
    assert!(date.split('-').count() == 3 && time.split([':', '.']).count() == 4, "{line}");
    let closed = format!(",ip=127.0.0.1,port={port} is ");
    let line = log.lines().find(|line| line.contains("connection close fd=")).expect("its line");
    assert!(line.contains(&closed) && line.contains(". open=0."), "{line}");
    assert!(line.ends_with("s messages=1 in=5B out=5B reason=eof"), "{line}");
    let summary = log.lines().last().expect("a last line");
    assert!(summary.contains(" summary connections=1 messages=1 in=5B out=5B seconds=0."));
    assert!(summary.ends_with("/s dropped=0"), "{summary}");
}

#[test]
fn a_month_is_not_too_long_for_a_timeout() {
    let flags = ["--write-timeout", "30days", "--drain-timeout", "10h", "--idle-timeout", "1y"];
    assert!(Process::start("patient", &flags).is_alive());
}

#[test]
fn rust_log_is_honoured() {
    let log = fresh_log("quiet");
    let mut command = Command::new(SERVER);
    command.args(["127.0.0.1", "0", "--log-file"]).arg(&log).env("RUST_LOG", "warn");
    let mut server = Process::spawn(command, log);
    assert!(server.is_alive());
    server.signal(libc::SIGINT);
    assert_eq!(server.exit_code(), Some(0));
    assert_eq!(server.log(), "");
}

#[test]
fn usr1_logs_the_counters_and_hup_reopens_the_log() {
    let server = Process::start("reopened", &[]);
    assert!(server.is_alive());
    server.wait_for_log("reason=eof");
    server.signal(libc::SIGUSR1);
    server.wait_for_log("counters accepted=1 open=0 messages=1 in=6B out=6B closed-eof=1");
    let moved = server.log.with_extension("moved");
    fs::rename(&server.log, &moved).expect("it is moved");
    server.signal(libc::SIGHUP);
    eventually("a new file", || server.log.exists());
    assert!(server.is_alive());
    server.wait_for_log("new connection fd=");
    assert!(fs::read_to_string(moved).expect("the old one").contains("counters accepted=1"));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut server = Process::start("twice", &["--drain-timeout", "1h"]);
    // A peer that never reads keeps it from draining.
    let mut stream = server.connect();
    fill(&mut stream);
    server.signal(libc::SIGQUIT);
    server.wait_for_log("draining");
    assert!(server.child.try_wait().expect("a status").is_none());
    let began = Instant::now();
    server.signal(libc::SIGTERM);
    assert_eq!(server.exit_code(), Some(1));
    // Fifty are the promise; five times that is the gate on a loaded machine.
    assert!(began.elapsed() < Duration::from_millis(250), "{:?}", began.elapsed());
    assert!(server.log().contains("summary connections=1"));
}

#[test]
fn stopped_and_continued_it_goes_on() {
    let server = Process::start("stopped", &["--workers", "1"]);
    let mut stream = server.connect();
    for _ in 0..10 {
        server.signal(libc::SIGSTOP);
        server.signal(libc::SIGCONT);
        stream.write_all(b"on").expect("sent");
        stream.read_exact(&mut [0; 2]).expect("a reply");
    }
}

#[test]
fn out_of_descriptors_it_waits_and_serves_whom_it_has() {
    let server = Process::start("descriptors", &["--io-threads", "1"]);
    let mut first = server.connect();
    first.write_all(b"in").expect("sent");
    first.read_exact(&mut [0; 2]).expect("a reply");
    let limit = |limit: &str| {
        let pid = server.child.id().to_string();
        let flags = ["--pid".to_owned(), pid, format!("--nofile={limit}:20000")];
        assert!(Command::new("prlimit").args(flags).status().expect("prlimit").success());
    };
    limit("10");
    let mut waiting = server.connect();
    waiting.write_all(b"me").expect("the kernel keeps it");
    server.wait_for_log("WARN cannot accept, will try again: Too many open files");
    first.write_all(b"on").expect("sent");
    first.read_exact(&mut [0; 2]).expect("it is unharmed");
    limit("1000");
    waiting.read_exact(&mut [0; 2]).expect("it is served in the end");
    let complaints = server.log().matches("cannot accept").count();
    assert!(complaints <= 2, "{complaints} within a second");
}

#[test]
fn more_connections_than_there_are_descriptors_for_is_said_and_lived_with() {
    let mut command = Command::new("prlimit");
    let log = fresh_log("capped");
    command.args(["--nofile=100:100", SERVER, "127.0.0.1", "0", "--io-threads", "1"]);
    command.args(["--max-connections", "1m", "--log-file"]).arg(&log);
    let server = Process::spawn(command, log);
    server.wait_for_log("WARN the limit of open descriptors (ulimit -n) allows 64 connections");
    assert!(server.is_alive());
}

#[test]
fn started_without_standard_streams_no_client_gets_them() {
    let log = fresh_log("streams");
    // The port is not printed, so it has to be known.
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it").port();
    let line = format!("exec {SERVER} 127.0.0.1 {port} --log-file {} <&- >&- 2>&-", log.display());
    let child = Command::new("sh").args(["-c", &line]).spawn().expect("a process");
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let server = Process { child, address, log };
    server.wait_for_log("listening on");
    assert!(server.is_alive());
    server.wait_for_log("new connection fd=");
    for fd in 0..3 {
        assert!(!server.log().contains(&format!("new connection fd={fd},")));
    }
}

#[test]
fn a_log_that_nobody_reads_stops_nobody() {
    let mut command = Command::new(SERVER);
    command.args(["127.0.0.1", "0", "--io-threads", "1"]).stderr(Stdio::piped());
    let mut server = Process::spawn(command, PathBuf::new());
    // A pipe holds 64 KiB; these are ten times as many lines as fit in it and in
    // the log's queue.
    for _ in 0..6_000 {
        let mut stream = server.connect();
        stream.write_all(b"x").expect("sent");
        stream.read_exact(&mut [0]).expect("a reply");
    }
    let began = Instant::now();
    server.signal(libc::SIGTERM);
    assert_eq!(server.exit_code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_log_on_a_full_disk_or_without_a_reader_stops_nobody() {
    let mut command = Command::new(SERVER);
    command.args(["127.0.0.1", "0", "--log-file", "/dev/full"]);
    let mut server = Process::spawn(command, PathBuf::new());
    assert!(server.is_alive());
    server.signal(libc::SIGTERM);
    assert_eq!(server.exit_code(), Some(0));

    let mut command = Command::new(SERVER);
    command.args(["127.0.0.1", "0"]).stderr(Stdio::piped());
    let mut server = Process::spawn(command, PathBuf::new());
    drop(server.child.stderr.take());
    assert!(server.is_alive());
    server.signal(libc::SIGTERM);
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn killed_and_started_again_it_has_its_port_at_once() {
    let mut server = Process::start("killed", &[]);
    let port = server.address.port().to_string();
    for _ in 0..10 {
        // A connection that is open at the death leaves the port in TIME_WAIT.
        let stream = server.connect();
        server.child.kill().expect("killed");
        server.child.wait().expect("dead");
        drop(stream);
        let mut command = Command::new(SERVER);
        let (address, log) = (server.address, server.log.clone());
        let _ = fs::remove_file(&log);
        command.args(["127.0.0.1", &port, "--log-file"]).arg(&log);
        server = Process { child: command.spawn().expect("a process"), address, log };
        server.wait_for_log("listening on");
        assert!(server.is_alive());
    }
}

#[test]
fn a_port_that_needs_privilege_is_refused_in_words() {
    let mut command = Command::new(SERVER);
    // As nobody; where the test is not run by root it is somebody else already.
    if fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        command.uid(65_534);
    }
    let port = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if port.expect("the kernel's word").trim() == "0" {
        return;
    }
    let output = command.args(["127.0.0.1", "80"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.starts_with("error: cannot listen on 127.0.0.1:80: Permission denied"),
        "{stderr}"
    );
}
