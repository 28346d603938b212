//! What both programs print arrives whole, or the program says why not.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::client::{CLIENT, ClientProcess, client, run, stderr};
use crate::support::namespace::in_namespace;
use crate::support::pipes::{non_blocking_pipe, wait_until_full};
use crate::support::running::{Running, config};
use crate::support::server::SERVER;
use crate::support::{temporary, unused_address};
use reactor_server::Framing;

/// A file with the JSON results of a run.
fn results(name: &str) -> String {
    let server = Running::echo(config(Framing::Raw));
    let file = temporary(name).display().to_string();
    let output = run(server.address, &["-c", "1", "-n", "1", "--json", "-o", &file]);
    assert!(output.status.success(), "{output:?}");
    file
}

/// Runs a command line of the shell.
fn shell(line: &str) -> Output {
    Command::new("sh").args(["-c", line]).output().expect("it runs")
}

fn messages(json: &[u8]) -> Value {
    serde_json::from_slice::<Value>(json).expect("whole JSON")["messages"].clone()
}

/// Percentiles whose JSON is longer than a small pipe.
fn many_percentiles() -> String {
    (0..500).map(|tenth| format!("{:.1},", f64::from(tenth) / 10.0)).collect::<String>() + "100"
}

#[test]
fn a_closed_or_full_output_is_an_error_of_one_line() {
    let server = Running::echo(config(Framing::Raw));
    let (ip, port) = (server.address.ip(), server.address.port());
    let file = results("outputs-full.json");
    let load = format!("{CLIENT} {ip} {port} -c 1 -n 1");
    for command in [
        format!("{SERVER} --help"),
        format!("{SERVER} -h"),
        format!("{SERVER} --version"),
        format!("{CLIENT} --help"),
        format!("{CLIENT} --version"),
        format!("{CLIENT} report --help"),
        format!("{CLIENT} report {file}"),
        format!("{CLIENT} report {file} -o /dev/null --html /dev/stdout"),
        format!("{load} --check"),
        format!("{load} --json"),
        load,
    ] {
        for (output, reason) in [(">/dev/full", "No space left"), (">&-", "Bad file descriptor")] {
            let done = shell(&format!("exec {command} {output}"));
            let stderr = stderr(&done);
            assert_eq!(done.status.code(), Some(1), "{command} {output}: {stderr}");
            let is_told = stderr.starts_with("error: cannot write") && stderr.contains(reason);
            assert!(is_told && stderr.lines().count() == 1, "{command} {output}: {stderr}");
        }
    }
}

#[test]
fn a_usage_error_keeps_its_exit_code_where_nobody_can_read_it() {
    for line in [format!("{CLIENT} --what 2>/dev/full"), format!("{SERVER} --what 2>&-")] {
        assert_eq!(shell(&format!("exec {line}")).status.code(), Some(2), "{line}");
    }
}

#[test]
fn a_non_blocking_pipe_gets_all_that_is_printed() {
    let (file, list) = (results("outputs-pipe.json"), many_percentiles());
    let report = ["report", &file, "--json", "--percentiles", &list];
    let texts = [(CLIENT, &["--help"][..]), (SERVER, &["--help"]), (CLIENT, &report)];
    for (program, args) in texts {
        let expected = Command::new(program).args(args).output().expect("it runs");
        let (mut reader, writer) = non_blocking_pipe();
        let mut command = Command::new(program);
        let mut child = command.args(args).stdout(writer).spawn().expect("a process");
        drop(command);
        wait_until_full(&reader);
        let mut text = Vec::new();
        reader.read_to_end(&mut text).expect("all of it");
        assert!(text == expected.stdout, "{program} {args:?}: {} bytes", text.len());
        assert!(child.wait().expect("its end").success());
    }
}

#[test]
fn results_that_the_file_does_not_take_go_to_standard_output() {
    let server = Running::echo(config(Framing::Raw));
    let full = run(server.address, &["-c", "1", "-n", "7", "--json", "-o", "/dev/full"]);
    let reason = "No space left on device (os error 28); they are on standard output instead";
    let error = format!("error: cannot write the results to /dev/full: {reason}\n");
    assert_eq!(stderr(&full), error);
    assert_eq!((full.status.code(), messages(&full.stdout)), (Some(1), 7.into()));

    // A file size limit is as a full disk.
    let path = temporary("outputs-limit.json");
    let mut command = Command::new("prlimit");
    let load = client(server.address, &["-c", "1", "-n", "7", "--json", "-o"]);
    command.args(["--fsize=100:100", CLIENT]).args(load.get_args()).arg(&path);
    let limited = command.output().expect("it runs");
    let stderr = stderr(&limited);
    assert!(stderr.contains(": File too large (os error 27); they are on"), "{stderr}");
    assert_eq!((limited.status.code(), messages(&limited.stdout)), (Some(1), 7.into()));

    let check = run(unused_address(), &["--check", "-o", "/dev/full"]);
    assert!(String::from_utf8_lossy(&check.stdout).contains("descriptors of a process"));
}

/// The resolver asks no other machine.
#[test]
fn a_misspelled_name_leaves_the_last_results_as_they_are() {
    let (file, resolver) = (results("outputs-kept.json"), temporary("outputs-nsswitch.conf"));
    let before = fs::read(&file).expect("a file");
    fs::write(&resolver, "hosts: files\n").expect("a file");
    let setup = format!("mount --bind '{}' /etc/nsswitch.conf", resolver.display());
    for mode in [&[][..], &["--check"]] {
        let words = [&["none.invalid:9", "-n", "1", "-o", &file], mode].concat();
        let command = in_namespace("--mount", &setup, "exec \"$1\" \"${@:3}\"");
        let Some(mut command) = command else { return };
        command.args(words);
        let output = ClientProcess::start(command).output();
        assert!(stderr(&output).starts_with("error: cannot find none.invalid"), "{output:?}");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(fs::read(&file).expect("a file") == before, "{mode:?}");
    }
}

#[test]
fn a_run_that_cannot_start_leaves_the_last_results_as_they_are() {
    let file = results("outputs-kept-too.json");
    let before = fs::read(&file).expect("a file");
    // No process has this number.
    let words = ["127.0.0.1:9", "--server-pid", "4194304", "-o", &file];
    let mut command = Command::new(CLIENT);
    command.args(words);
    let output = ClientProcess::start(command).output();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(fs::read(&file).expect("a file") == before);
}

#[test]
fn what_never_ends_is_refused_as_results() {
    let mut command = Command::new(CLIENT);
    command.args(["report", "/dev/zero"]);
    let output = ClientProcess::start(command).output();
    let line = "error: /dev/zero is too long for results of client --json\n";
    assert_eq!((output.status.code(), &*stderr(&output)), (Some(1), line));
}

#[test]
fn results_are_written_to_descriptors_that_cannot_be_opened() {
    let file = results("outputs-socket.json");
    for path in ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        for flag in ["-o", "--html"] {
            let (mut ours, theirs) = UnixStream::pair().expect("two sockets");
            let mut command = Command::new(CLIENT);
            command.args(["report", &file, flag, path]);
            if flag == "--html" {
                command.args(["-o", "/dev/null"]);
            }
            let mut child = command.stdout(OwnedFd::from(theirs)).spawn().expect("a process");
            drop(command);
            let mut text = String::new();
            ours.read_to_string(&mut text).expect("text");
            assert!(child.wait().expect("its end").success());
            assert!(
                text.contains("messages  1 in ") || text.contains("</html>"),
                "{flag} {path}: {text}"
            );
        }
    }
}

#[test]
fn an_output_that_is_standard_output_truncates_nothing() {
    let (file, path) = (results("outputs-append.json"), temporary("outputs-append"));
    fs::write(&path, "before\n").expect("a file");
    let append = File::options().append(true).open(&path).expect("a file");
    let mut command = Command::new(CLIENT);
    command.args(["report", &file, "--json", "-o", "/dev/stdout"]).stdout(append);
    assert!(command.status().expect("it runs").success());
    let text = fs::read_to_string(&path).expect("a file");
    assert_eq!(messages(text.strip_prefix("before\n").expect("it is there").as_bytes()), 1);
}

#[test]
fn results_are_read_from_standard_input() {
    let json = fs::read(results("outputs-input.json")).expect("a file");
    for path in ["-", "/dev/stdin", "/dev/fd/0"] {
        let (mut ours, theirs) = UnixStream::pair().expect("two sockets");
        // As a parent leaves it that shares it.
        theirs.set_nonblocking(true).expect("non-blocking");
        let mut command = Command::new(CLIENT);
        command.args(["report", path, "--json"]).stdin(OwnedFd::from(theirs));
        let child = command.stdout(Stdio::piped()).spawn().expect("a process");
        drop(command);
        let (head, tail) = json.split_at(json.len() / 2);
        ours.write_all(head).expect("its beginning");
        ours.write_all(tail).expect("its end");
        ours.shutdown(Shutdown::Write).expect("the end");
        let output = child.wait_with_output().expect("its end");
        assert_eq!((output.status.code(), messages(&output.stdout)), (Some(0), 1.into()), "{path}");
    }
}
