//! The log of the program `server`: each line is whole, and each missing line is counted.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::io::ioctl_fionbio;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

use crate::support::pipes::{named_pipe, non_blocking_pipe};
use crate::support::server::{SERVER, ServerProcess, new_log};
use crate::support::streams::exchange;
use crate::support::{PATIENCE, eventually, temporary};

/// Connections whose lines fill a small pipe, or a file up to its limit, several times.
const CONNECTIONS: usize = 200;
/// The lines of their log: two for each, and that it listens, drains, and its summary.
const LINES: usize = 2 * CONNECTIONS + 3;

/// How many of these lines a server writes before it is told to end.
const LINES_BEFORE_END: usize = LINES - 2;

fn serve(server: &ServerProcess, connections: usize) {
    (0..connections).for_each(|_| exchange(&mut server.connect(), b"x"));
}

/// A server that has served all connections, and at the file size limit in the middle of a
/// line of its log. Returns this limit too.
fn limited_server() -> (ServerProcess, u64) {
    let log = new_log();
    let mut command = Command::new(SERVER);
    command.args(["127.0.0.1", "0", "--log-file"]).arg(&log).stderr(Stdio::piped());
    let server = ServerProcess::spawn(command, log);
    serve(&server, 20);
    eventually("41 lines", || server.log().matches('\n').count() == 41);
    // Less than the next line needs.
    let limit = server.log().len() as u64 + 10;
    limit_files(&server, Some(limit));
    serve(&server, CONNECTIONS - 20);
    wait_until_limited(&server.log, limit);
    (server, limit)
}

fn limit_files(server: &ServerProcess, current: Option<u64>) {
    let limit = Rlimit { current, maximum: None };
    prlimit(Some(Pid::from_child(&server.child)), Resource::Fsize, limit).expect("a limit");
}

fn wait_until_limited(path: &Path, limit: u64) {
    let length = || fs::metadata(path).map_or(0, |file| file.len());
    eventually("a file at its limit", || length() == limit);
}

/// Ends a server, which must drain.
fn end(server: &mut ServerProcess) {
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
}

/// The lines of a log, each of which must be whole.
fn whole_lines(log: &str) -> Vec<&str> {
    let lines: Vec<_> = log.lines().collect();
    for line in &lines {
        let words = [" listening on ", " new connection fd=", " connection close fd="];
        let more = [" draining: ", " summary ", " log lines were dropped"];
        let known = words.iter().chain(&more).filter(|&word| line.contains(word)).count();
        assert!(line.starts_with("20") && known == 1, "{line:?}");
        let end = line.rsplit([' ', '.']).next().unwrap_or_default();
        assert!(!line.contains("close fd=") || end.starts_with("reason="), "{line:?}");
        assert!(!line.contains("new connection") || line.ends_with('.'), "{line:?}");
    }
    assert!(log.is_empty() || log.ends_with('\n'), "{:?}", lines.last());
    lines
}

/// How many lines were not written, as a server that has ended says on standard error.
fn lost_lines(server: &mut ServerProcess, reason: &str) -> usize {
    let mut stderr = String::new();
    let mut pipe = server.child.stderr.take().expect("its errors");
    pipe.read_to_string(&mut stderr).expect("text");
    let count = stderr.strip_prefix("error: ").and_then(|text| text.split_once(' '));
    let (count, rest) = count.unwrap_or_else(|| panic!("{stderr:?}"));
    assert_eq!(rest, format!("log lines were not written: {reason}\n"));
    count.parse().expect("a count")
}

#[test]
fn beyond_the_file_size_limit_log_lines_are_dropped_and_counted() {
    let (mut server, limit) = limited_server();
    end(&mut server);
    let lost = lost_lines(&mut server, "File too large (os error 27)");
    let log = server.log();
    assert_eq!(log.len() as u64, limit);
    let whole = &log[..=log.rfind('\n').expect("a line")];
    assert_eq!(whole_lines(whole).len() + lost, LINES);
}

#[test]
fn a_disk_that_gets_room_again_gets_every_log_line() {
    let (mut server, _) = limited_server();
    assert!(!server.log().ends_with('\n'), "no line is written in part");
    limit_files(&server, None);
    end(&mut server);
    assert_eq!(whole_lines(&server.log()).len(), LINES);
}

#[test]
fn a_log_reopened_on_another_disk_begins_with_a_whole_line() {
    // With more room for the many lines that wait, some of those written together fit.
    for room in [0, 3000] {
        let (mut server, limit) = limited_server();
        limit_files(&server, Some(limit + room));
        wait_until_limited(&server.log, limit + room);
        // The old file keeps the part of a line that is in it.
        let moved = server.log.with_extension("moved");
        fs::rename(&server.log, &moved).expect("it is moved");
        server.signal(Signal::HUP);
        wait_until_limited(&server.log, limit + room);
        limit_files(&server, None);
        end(&mut server);
        let old = fs::read_to_string(&moved).expect("the old one");
        let whole = &old[..=old.rfind('\n').expect("a line")];
        assert!(room > 0 || whole.len() < old.len(), "no line is written in part");
        assert_eq!(whole_lines(whole).len() + whole_lines(&server.log()).len(), LINES);
    }
}

#[test]
fn a_file_that_is_reopened_without_being_renamed_has_no_torn_line() {
    let (mut server, _) = limited_server();
    server.signal(Signal::HUP);
    limit_files(&server, None);
    end(&mut server);
    assert_eq!(whole_lines(&server.log()).len(), LINES);
}

#[test]
fn a_line_that_an_earlier_server_could_not_finish_is_ended() {
    let log = new_log();
    fs::write(&log, "half a l").expect("a file");
    let mut command = Command::new(SERVER);
    command.args(["127.0.0.1", "0", "--log-file"]).arg(&log);
    let mut server = ServerProcess::spawn(command, log);
    end(&mut server);
    let log = server.log();
    assert_eq!(whole_lines(log.strip_prefix("half a l\n").unwrap_or(&log)).len(), 3);
}

/// Reads a log to its end, in small pieces. The server is told to end once all but its last two
/// lines are read, because from then on its log waits only a second for a reader.
fn read_slowly(mut reader: impl Read + AsFd, server: &ServerProcess) -> String {
    let (mut log, mut buffer) = (Vec::new(), [0; 100]);
    ioctl_fionbio(&reader, true).expect("non-blocking");
    eventually("all lines before the end", || {
        let count = reader.read(&mut buffer).unwrap_or(0);
        log.extend_from_slice(&buffer[..count]);
        log.iter().filter(|&&byte| byte == b'\n').count() == LINES_BEFORE_END
    });
    server.signal(Signal::TERM);
    ioctl_fionbio(&reader, false).expect("blocking");
    while let count @ 1.. = reader.read(&mut buffer).expect("lines") {
        log.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(log).expect("text")
}

#[test]
fn a_non_blocking_standard_error_gets_whole_log_lines() {
    let (reader, writer) = non_blocking_pipe();
    let mut command = Command::new(SERVER);
    command.args(["127.0.0.1", "0"]).stderr(writer);
    let mut server = ServerProcess::spawn(command, PathBuf::new());
    serve(&server, CONNECTIONS);
    let log = read_slowly(reader, &server);
    assert_eq!(server.exit_code(), Some(0));
    assert_eq!(whole_lines(&log).len(), LINES);
}

/// A server that logs to a named pipe, and a reader of it that has read nothing.
fn server_with_pipe(name: &str) -> (ServerProcess, fs::File) {
    let (path, _ends) = named_pipe(name);
    let mut command = Command::new(SERVER);
    command.args(["127.0.0.1", "0", "--log-file"]).arg(&path).stderr(Stdio::piped());
    let server = ServerProcess::spawn(command, PathBuf::new());
    // It ends with its last writer, which is the server.
    (server, fs::File::open(&path).expect("a reader"))
}

#[test]
fn a_slowly_read_named_pipe_gets_whole_log_lines() {
    let (mut server, reader) = server_with_pipe("slow-pipe");
    serve(&server, CONNECTIONS);
    let log = read_slowly(reader, &server);
    assert_eq!(server.exit_code(), Some(0));
    assert_eq!(whole_lines(&log).len(), LINES);
}

#[test]
fn log_lines_that_nobody_reads_are_counted_at_the_end() {
    let (mut server, mut reader) = server_with_pipe("unread-pipe");
    serve(&server, CONNECTIONS);
    end(&mut server);
    let mut log = String::new();
    reader.read_to_string(&mut log).expect("lines");
    let lost = lost_lines(&mut server, "nobody reads them");
    assert_eq!(whole_lines(&log).len() + lost, LINES);
}

#[test]
fn the_log_goes_to_descriptors_that_cannot_be_opened() {
    let link = temporary("log-link");
    symlink("/dev/stdout", &link).expect("a link");
    let link = link.to_str().expect("a path");
    for path in ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/dev/stdin", link] {
        // No path leads to a socket.
        let (ours, theirs) = UnixStream::pair().expect("two sockets");
        ours.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut command = Command::new(SERVER);
        command.args(["127.0.0.1", "0", "--log-file", path]);
        let theirs = OwnedFd::from(theirs);
        command.stdin(theirs.try_clone().expect("a second one")).stdout(theirs);
        let child = command.spawn().expect("a process");
        drop(command);
        let mut lines = BufReader::new(ours).lines().map(|line| line.expect("a line"));
        let line = lines.find(|line| line.contains(" io-threads=")).expect("that it listens");
        let address = line.split(' ').nth(4).and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("{line:?}"));
        let mut server = ServerProcess { child, address, log: PathBuf::new() };
        server.signal(Signal::HUP);
        serve(&server, CONNECTIONS);
        let mut rest = lines.filter(|line| !line.starts_with("listening on"));
        assert_eq!(rest.by_ref().take(LINES_BEFORE_END - 1).count(), LINES_BEFORE_END - 1);
        server.signal(Signal::TERM);
        assert_eq!(rest.count(), LINES - LINES_BEFORE_END, "{path}");
        assert_eq!(server.exit_code(), Some(0));
    }
}

#[test]
fn a_log_to_a_closed_descriptor_is_an_error() {
    for (path, close) in [("-", ">&-"), ("/dev/stdout", ">&-"), ("/dev/fd/9", "9>&-")] {
        let line = format!("exec timeout 20 {SERVER} 127.0.0.1 0 --log-file {path} {close}");
        let output = Command::new("sh").args(["-c", &line]).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        let reason = format!("cannot write the log to {path}: Bad file descriptor (os error 9)");
        assert_eq!((output.status.code(), &*stderr), (Some(1), &*format!("error: {reason}\n")));
    }
}
