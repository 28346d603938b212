//! The program `server`: its flags, its exit codes, its log, its signals.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::client::CLIENT;
use crate::support::server::{SERVER, ServerProcess, new_log};
use crate::support::streams::{exchange, fill, round_trip};
use crate::support::{eventually, unused_address};

fn run(program: &str, flags: &[&str]) -> Output {
    Command::new(program).args(flags).output().expect("it runs")
}

/// Asserts the exit code, and that the error message names the problem.
fn assert_error(program: &str, flags: &[&str], code: i32, about: &str) {
    let output = run(program, flags);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{flags:?}: {stderr}");
    assert!(stderr.contains(about) && stderr.contains("error: "), "{flags:?}: {stderr}");
    assert!(output.stdout.is_empty());
}

#[test]
fn wrong_flags_are_usage_errors_with_a_reason() {
    assert_error(SERVER, &["not an address"], 2, "expected a name or an IP address");
    assert_error(SERVER, &["127.0.0.1", "70000"], 2, "70000 is not in 0..=65535");
    assert_error(SERVER, &["--io-threads", "0"], 2, "0 is not in 1..=4096");
    assert_error(SERVER, &["--workers", "many"], 2, "invalid digit");
    assert_error(SERVER, &["--framing", "xml"], 2, "possible values: raw, len32, line");
    assert_error(SERVER, &["--idle-timeout", "soon"], 2, "try 500ms, 10s or 1m");
    assert_error(SERVER, &["--busy-poll", "0us"], 2, "must be more than 0");
    assert_error(SERVER, &["--max-connections", "0"], 2, "must be at least 1");
    assert_error(SERVER, &["--max-message", "3g"], 2, "must be at most 2g");
    assert_error(SERVER, &["--reply-prefix", "reply:"], 2, "add --framing len32 or line");
    assert_error(CLIENT, &[], 2, "the client needs a server");
    assert_error(CLIENT, &["127.0.0.1", "0"], 2, "expected a port from 1 to 65535");
    assert_error(CLIENT, &["127.0.0.1", "9", "5", "-c", "7"], 2, "give one of them");
    assert_error(CLIENT, &["127.0.0.1", "9", "--size", "0"], 2, "must be at least 1");
    assert_error(CLIENT, &["127.0.0.1", "9", "--percentiles", "101"], 2, "from 0 to 100");
}

#[test]
fn a_port_in_use_is_a_one_line_error() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = holder.local_addr().expect("an address").port().to_string();
    let output = run(SERVER, &["127.0.0.1", &port]);
    assert_eq!(output.status.code(), Some(1));
    let expected = format!("error: cannot listen on 127.0.0.1:{port}: Address already in use");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with(&expected) && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn a_foreign_address_and_an_unwritable_log_are_errors() {
    assert_error(SERVER, &["192.0.2.1", "0"], 1, "cannot listen on 192.0.2.1:0: Cannot assign");
    assert_error(
        SERVER,
        &["--log-file", "/no/such/folder/log"],
        1,
        "cannot write the log to /no/such",
    );
}

#[test]
fn flags_override_variables_and_variables_override_defaults() {
    let log = new_log();
    let mut command = Command::new(SERVER);
    command.args(["127.0.0.1", "0", "--workers", "1", "--log-file"]).arg(&log);
    command.env("SERVER_IO_THREADS", "3").env("SERVER_WORKERS", "2");
    let server = ServerProcess::spawn(command, log);
    server.wait_for_log("io-threads=3 workers=1 framing=raw");
}

#[test]
fn the_log_has_the_lines_that_people_and_scripts_read() {
    let mut server = ServerProcess::start(&["--io-threads", "1"]);
    let stream = server.connect();
    let port = stream.local_addr().expect("an address").port();
    assert_eq!(round_trip(stream, b"hello".to_vec()), b"hello");
    server.signal(Signal::TERM);
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
    assert!(ServerProcess::start(&flags).is_alive());
}

#[test]
fn rust_log_is_honoured() {
    let log = new_log();
    let mut command = Command::new(SERVER);
    command.args(["127.0.0.1", "0", "--log-file"]).arg(&log).env("RUST_LOG", "warn");
    let mut server = ServerProcess::spawn(command, log);
    assert!(server.is_alive());
    server.signal(Signal::INT);
    assert_eq!(server.exit_code(), Some(0));
    assert_eq!(server.log(), "");
}

#[test]
fn usr1_logs_the_counters_and_hup_reopens_the_log() {
    let server = ServerProcess::start(&[]);
    assert!(server.is_alive());
    server.wait_for_log("reason=eof");
    server.signal(Signal::USR1);
    server.wait_for_log("counters accepted=1 open=0 messages=1 in=6B out=6B closed-eof=1");
    let moved = server.log.with_extension("moved");
    fs::rename(&server.log, &moved).expect("it is moved");
    server.signal(Signal::HUP);
    eventually("a new file", || server.log.exists());
    assert!(server.is_alive());
    server.wait_for_log("new connection fd=");
    assert!(fs::read_to_string(moved).expect("the old one").contains("counters accepted=1"));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut server = ServerProcess::start(&["--drain-timeout", "1h"]);
    // A peer that never reads keeps it from draining.
    let mut stream = server.connect();
    fill(&mut stream);
    server.signal(Signal::QUIT);
    server.wait_for_log("draining");
    assert!(server.child.try_wait().expect("a status").is_none());
    server.signal(Signal::TERM);
    // The drain alone would take an hour.
    assert_eq!(server.exit_code(), Some(1));
    assert!(server.log().contains("summary connections=1"));
}

#[test]
fn a_stopped_server_continues() {
    let server = ServerProcess::start(&["--workers", "1"]);
    let mut stream = server.connect();
    for _ in 0..10 {
        server.signal(Signal::STOP);
        server.signal(Signal::CONT);
        exchange(&mut stream, b"on");
    }
}

#[test]
fn without_descriptors_it_waits_and_serves_open_connections() {
    let server = ServerProcess::start(&["--io-threads", "1"]);
    let mut first = server.connect();
    exchange(&mut first, b"in");
    let limit = |limit: &str| {
        let pid = server.child.id().to_string();
        let flags = ["--pid".to_owned(), pid, format!("--nofile={limit}:20000")];
        assert!(Command::new("prlimit").args(flags).status().expect("prlimit").success());
    };
    // All descriptors below the first that is free are open.
    let free = (0..).find(|&fd| server.process().fd_from_fd(fd).is_err()).expect("a number");
    limit(&free.to_string());
    let mut waiting = server.connect();
    waiting.write_all(b"me").expect("the kernel keeps it");
    server.wait_for_log("WARN cannot accept, will try again: Too many open files");
    exchange(&mut first, b"on");
    limit("1000");
    waiting.read_exact(&mut [0; 2]).expect("a reply");
    server.wait_for_log("WARN can accept again, after ");
    let log = server.log();
    let line = log.lines().find(|line| line.contains("can accept again")).expect("it");
    assert!(line.ends_with(" s: 1 had to wait"), "{line}");
    assert_eq!(log.matches("cannot accept").count(), 1, "{log}");
}

#[test]
fn a_descriptor_limit_below_max_connections_is_a_warning() {
    let mut command = Command::new("prlimit");
    let log = new_log();
    command.args(["--nofile=100:100", SERVER, "127.0.0.1", "0", "--io-threads", "1"]);
    command.args(["--max-connections", "1m", "--log-file"]).arg(&log);
    let server = ServerProcess::spawn(command, log);
    server.wait_for_log("WARN the limit of open descriptors (ulimit -n) allows 64 connections");
    assert!(server.is_alive());
}

#[test]
fn closed_standard_streams_go_to_no_client() {
    let log = new_log();
    // It cannot print its port, so the test chooses it.
    let address = unused_address();
    let (port, path) = (address.port(), log.display());
    let line = format!("exec {SERVER} 127.0.0.1 {port} --log-file {path} <&- >&- 2>&-");
    let child = Command::new("sh").args(["-c", &line]).spawn().expect("a process");
    let server = ServerProcess { child, address, log };
    server.wait_for_log("listening on");
    assert!(server.is_alive());
    server.wait_for_log("new connection fd=");
    for fd in 0..3 {
        assert!(!server.log().contains(&format!("new connection fd={fd},")));
    }
}

#[test]
fn an_unread_log_stops_nothing() {
    let mut command = Command::new(SERVER);
    command.args(["127.0.0.1", "0", "--io-threads", "1"]).stderr(Stdio::piped());
    let mut server = ServerProcess::spawn(command, PathBuf::new());
    // A pipe holds 64 KiB, so most of their lines wait, and are given up at the end.
    for _ in 0..1_000 {
        exchange(&mut server.connect(), b"x");
    }
    let began = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_full_disk_or_a_closed_log_stops_nothing() {
    let mut command = Command::new(SERVER);
    command.args(["127.0.0.1", "0", "--log-file", "/dev/full"]);
    let mut server = ServerProcess::spawn(command, PathBuf::new());
    assert!(server.is_alive());
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));

    let mut command = Command::new(SERVER);
    command.args(["127.0.0.1", "0"]).stderr(Stdio::piped());
    let mut server = ServerProcess::spawn(command, PathBuf::new());
    drop(server.child.stderr.take());
    assert!(server.is_alive());
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn a_killed_server_can_be_restarted_at_once() {
    let mut server = ServerProcess::start(&[]);
    for _ in 0..10 {
        // A connection that is open when it dies leaves the port in TIME_WAIT.
        let stream = server.connect();
        server.kill();
        drop(stream);
        server = ServerProcess::start_at(server.address);
        assert!(server.is_alive());
    }
}

#[test]
fn a_privileged_port_is_a_clear_error() {
    let mut command = Command::new(SERVER);
    // Root must give up its privilege first.
    if fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        command.uid(65_534);
    }
    let port = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if port.expect("a setting").trim() == "0" {
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
