//! The server as a service: in the background, with a pid file, and under systemd.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use reactor_server::program::cpu::time_of_process;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::support::server::{SERVER, ServerProcess, new_log};
use crate::support::streams::{connect, exchange, fill, read_to_end};
use crate::support::{PATIENCE, eventually, temporary};

fn folder(name: &str) -> PathBuf {
    let folder = temporary(name);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn run_in(folder: &Path, flags: &[&str]) -> Output {
    Command::new(SERVER).current_dir(folder).args(flags).output().expect("it runs")
}

/// The process that a pid file names.
fn process_in(file: &Path) -> Pid {
    let text = fs::read_to_string(file).expect("a pid file");
    Pid::from_raw(text.trim().parse().expect("a number")).expect("a process")
}

fn end(process: Pid, signal: Signal) {
    kill_process(process, signal).expect("it is signalled");
    eventually("its end", || test_kill_process(process).is_err());
}

fn assert_error(output: &Output, error: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with(error) && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn a_daemon_is_ready_when_its_command_returns() {
    let folder = folder("daemon");
    let flags = ["127.0.0.1", "0", "--daemon", "--pid-file", "pid", "--log-file", "log"];
    let output = run_in(&folder, &flags);
    let address = String::from_utf8_lossy(&output.stdout).into_owned();
    let address = address.strip_prefix("listening on ").expect("an address").trim();
    assert!(output.status.code() == Some(0) && output.stderr.is_empty(), "{output:?}");
    exchange(&mut TcpStream::connect(address).expect("it listens"), b"at once");
    let process = process_in(&folder.join("pid"));
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_pid())).expect("stat");
    let session = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(3));
    assert_eq!(session, Some(process.as_raw_pid().to_string().as_str()), "a session of its own");
    end(process, Signal::TERM);
    assert!(!folder.join("pid").exists());
    let log = fs::read_to_string(folder.join("log")).expect("a log where it was started");
    assert!(log.contains("summary connections=1 messages=1 "), "{log}");
}

#[test]
fn a_daemon_that_cannot_start_is_the_error_of_its_command() {
    let folder = folder("daemon-error");
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = holder.local_addr().expect("an address").port().to_string();
    let output = run_in(&folder, &["127.0.0.1", &port, "--daemon", "--log-file", "log"]);
    assert_error(&output, &format!("error: cannot listen on 127.0.0.1:{port}: Address already"));
    let output = run_in(&folder, &["--daemon", "--log-file", "/no/such/log"]);
    assert_error(&output, "error: cannot write the log to /no/such/log");
    let output = run_in(&folder, &["--daemon", "--log-file", "-"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let socket = holder.try_clone().expect("a socket").into();
    let output = activated(socket, &folder.join("log"), &["--daemon"]).output().expect("it runs");
    assert!(output.status.code() == Some(2) && output.stdout.is_empty(), "{output:?}");
}

/// It runs, so its command must not say that it does not.
#[test]
fn a_daemon_whose_address_nobody_can_read_is_a_success_all_the_same() {
    let folder = folder("daemon-full");
    let mut command = Command::new(SERVER);
    command.current_dir(&folder).args(["127.0.0.1", "0", "--daemon", "--pid-file", "pid"]);
    let full = File::options().write(true).open("/dev/full").expect("a device");
    let output = command.args(["--log-file", "log"]).stdout(full).output().expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.starts_with("warning: cannot write to standard output: No space"), "{stderr}");
    end(process_in(&folder.join("pid")), Signal::TERM);
}

#[test]
fn a_second_server_with_the_same_pid_file_is_refused_and_touches_nothing() {
    let folder = folder("pid-file");
    let file = folder.join("pid").display().to_string();
    let mut server = ServerProcess::start(&["--pid-file", &file]);
    assert_eq!(fs::read_to_string(&file).expect("a file"), format!("{}\n", server.id()));
    let output = run_in(&folder, &["127.0.0.1", "0", "--pid-file", "pid", "--log-file", "log"]);
    let error = format!("error: another server, process {}, has the pid file pid", server.id());
    assert_error(&output, &error);
    assert!(!folder.join("log").exists());
    assert_eq!(fs::read_to_string(&file).expect("a file"), format!("{}\n", server.id()));
    // What it leaves when it is killed is stale.
    server.kill();
    let mut server = ServerProcess::start(&["--pid-file", &file]);
    assert_eq!(fs::read_to_string(&file).expect("a file"), format!("{}\n", server.id()));
    // A file that another server made there meanwhile is not this one's.
    fs::rename(&file, folder.join("old")).expect("renamed");
    fs::write(&file, "1\n").expect("a file");
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
    assert_eq!(fs::read_to_string(&file).expect("a file"), "1\n");
}

#[test]
fn a_file_that_is_no_pid_file_is_left_as_it_is() {
    let folder = folder("no-pid-file");
    fs::write(folder.join("notes"), "precious\n").expect("a file");
    for (file, error) in [
        ("notes", "error: notes holds something else than the number of a process"),
        ("/dev/full", "error: /dev/full is no regular file"),
        ("none/pid", "error: cannot open the pid file none/pid: No such file"),
    ] {
        assert_error(&run_in(&folder, &["127.0.0.1", "0", "--pid-file", file]), error);
    }
    assert_eq!(fs::read_to_string(folder.join("notes")).expect("a file"), "precious\n");
}

#[test]
fn systemd_is_told_how_far_the_server_is() {
    let path = temporary("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let received = || {
        let mut buffer = [0; 500];
        let count = socket.recv(&mut buffer).expect("a notification");
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    let log = new_log();
    let mut command = Command::new(SERVER);
    command.args(["127.0.0.1", "0", "--log-file"]).arg(&log).env("NOTIFY_SOCKET", &path);
    let mut server = ServerProcess::spawn(command, log);
    let ready = received();
    let status = format!("STATUS=listening on {}", server.address);
    assert!(ready.contains("READY=1") && ready.contains(&status), "{ready}");
    fs::rename(&server.log, temporary("notify-old.log")).expect("renamed");
    server.signal(Signal::HUP);
    let reloading = received();
    assert!(reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="));
    assert!(received().contains("READY=1"));
    assert!(server.log.exists(), "it is not ready before the log is reopened");
    server.signal(Signal::TERM);
    assert!(received().contains("STOPPING=1"));
    assert_eq!(server.exit_code(), Some(0));
}

/// A server to which this socket is passed as sd_listen_fds(3) says.
fn activated(socket: OwnedFd, log: &Path, flags: &[&str]) -> Command {
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", SERVER, "--log-file"]).arg(log).args(flags);
    command.stdin(Stdio::from(socket));
    command
}

#[test]
fn a_restart_behind_a_passed_socket_refuses_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let start = || -> (Child, PathBuf) {
        let (log, socket) = (new_log(), listener.try_clone().expect("a socket"));
        let child = activated(socket.into(), &log, &["192.0.2.1", "9"]).spawn().expect("a server");
        (child, log)
    };
    let is_over = &AtomicBool::new(false);
    let echoes = thread::scope(|scope| {
        let client = scope.spawn(move || {
            let mut echoes = 0;
            while !is_over.load(Relaxed) {
                let mut stream = TcpStream::connect(address).expect("no connection is refused");
                stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                // One that was accepted just before the drain may end without an answer.
                let mut reply = [0; 5];
                let is_sent = stream.write_all(b"hello").is_ok();
                echoes += usize::from(is_sent && stream.read_exact(&mut reply).is_ok());
            }
            echoes
        });
        let (mut server, mut log) = start();
        for _ in 0..5 {
            eventually("it serves", || {
                let log = fs::read_to_string(&log).unwrap_or_default();
                log.contains("IP and PORT are not used") && log.contains("connection close")
            });
            kill_process(Pid::from_child(&server), Signal::TERM).expect("it is signalled");
            assert_eq!(server.wait().expect("its end").code(), Some(0));
            (server, log) = start();
        }
        eventually("it serves", || fs::read_to_string(&log).is_ok_and(|log| log.contains("close")));
        is_over.store(true, Relaxed);
        let echoes = client.join().expect("no connection was refused");
        kill_process(Pid::from_child(&server), Signal::TERM).expect("it is signalled");
        server.wait().expect("its end");
        echoes
    });
    assert!(echoes >= 6, "{echoes}");
}

#[test]
fn a_drain_behind_a_passed_socket_does_not_watch_it() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (log, socket) = (new_log(), listener.try_clone().expect("a socket"));
    let mut server = activated(socket.into(), &log, &["-t", "1"]).spawn().expect("a server");
    let mut stuck = connect(address);
    fill(&mut stuck);
    kill_process(Pid::from_child(&server), Signal::TERM).expect("it is signalled");
    eventually("it drains", || fs::read_to_string(&log).is_ok_and(|log| log.contains("draining")));
    // It is for the next server, and epoll would report it again and again.
    let _waiting = connect(address);
    let used = || time_of_process(server.id() as i32).expect("its CPU time");
    let before = used();
    thread::sleep(Duration::from_millis(300));
    assert!(used() - before < Duration::from_millis(100), "{:?}", used() - before);
    read_to_end(&mut stuck);
    assert_eq!(server.wait().expect("its end").code(), Some(0));
}

#[test]
fn a_passed_descriptor_of_another_kind_is_refused() {
    let path = temporary("unix-socket");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a socket").into();
    let unix = UnixListener::bind(&path).expect("a socket").into();
    let silent = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let silent: OwnedFd = silent.expect("a socket").into();
    let file = File::open("/dev/null").expect("a file").into();
    for (kind, socket) in [("udp", udp), ("unix", unix), ("silent", silent), ("file", file)] {
        let output = activated(socket, &new_log(), &["127.0.0.1", "0"]).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{kind}: {stderr}");
        assert!(stderr.starts_with("error: the socket that was passed"), "{kind}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{kind}: {stderr}");
    }
}

#[test]
fn a_number_of_passed_sockets_that_is_none_is_an_error() {
    for count in ["x", "-1", "99999999"] {
        let script = format!("LISTEN_PID=$$ LISTEN_FDS={count} exec {SERVER} 127.0.0.1 0");
        let output = Command::new("sh").args(["-c", &script]).output().expect("it runs");
        assert_error(&output, &format!("error: LISTEN_FDS is \"{count}\": not a number"));
    }
}

#[test]
fn the_journal_gets_levels_and_no_second_time() {
    let path = temporary("journal");
    let file = File::create(&path).expect("a file");
    let metadata = file.metadata().expect("its numbers");
    let journal = format!("{}:{}", metadata.dev(), metadata.ino());
    let mut command = Command::new(SERVER);
    command.args(["127.0.0.1", "0", "-t", "64"]).env("JOURNAL_STREAM", journal).stderr(file);
    let mut server = ServerProcess::spawn(command, path.clone());
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
    let mut log = String::new();
    File::open(&path).expect("a file").read_to_string(&mut log).expect("text");
    assert!(log.starts_with("<6>listening on 127.0.0.1:"), "{log}");
    assert!(log.contains("\n<4>64 I/O threads on "), "{log}");
}
