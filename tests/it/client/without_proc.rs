//! A `/proc` that lacks what the client reads there, as in a sandbox, is no reason to stop.

use rustix::process::Signal;

use crate::support::client::ClientProcess;
use crate::support::namespace::in_namespace;
use crate::support::running::{Running, config};
use crate::support::server::ServerProcess;
use crate::support::temporary;
use reactor_server::Framing;

/// Runs a script where `/proc` is empty.
fn with_empty_proc(script: &str) -> Option<ClientProcess> {
    in_namespace("--mount", "mount -t tmpfs none /proc", script).map(ClientProcess::start)
}

#[test]
fn a_load_runs_and_its_cost_is_null_without_proc() {
    let server = ServerProcess::start(&["-t", "1"]);
    let (port, pid) = (server.address.port(), server.id());
    for (flags, notes) in [
        (String::new(), vec!["the client's cost is not known: there is no /proc/"]),
        (
            format!("--server-pid {pid}"),
            vec!["the server's cost is not known: there is no /proc/", "the client's cost"],
        ),
    ] {
        let script = format!("exec \"$1\" 127.0.0.1 {port} -c 3 -n 10 --json {flags}");
        let Some(process) = with_empty_proc(&script) else {
            return;
        };
        let report = process.report();
        assert_eq!((report.code, report.number("messages")), (0, 30), "{report:?}");
        assert!(report.json["client"].is_null() && report.json["server"].is_null(), "{report:?}");
        for key in ["host", "kernel", "cpu_model"] {
            assert!(report.json["environment"][key].is_null(), "{key}: {report:?}");
        }
        let lines: Vec<_> = report.stderr.lines().collect();
        assert_eq!(lines.len(), notes.len(), "{lines:?}");
        assert!(lines.iter().zip(notes).all(|(line, note)| line.starts_with(note)), "{lines:?}");
    }
}

#[test]
fn results_as_text_leave_out_what_cannot_be_read() {
    let server = Running::echo(config(Framing::Raw));
    let port = server.address.port();
    let Some(process) = with_empty_proc(&format!("exec \"$1\" 127.0.0.1 {port} -c 3 -n 10")) else {
        return;
    };
    let output = process.output();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text.contains("\nlatency ") && !text.contains("\nclient "), "{text}");
}

/// Results without the client's cost merge, and stay without it.
#[test]
fn results_without_costs_can_be_read_back() {
    let server = Running::echo(config(Framing::Raw));
    let (port, file) = (server.address.port(), temporary("no-costs.json"));
    let file = file.display();
    let script = format!(
        "\"$1\" 127.0.0.1 {port} -c 3 -n 10 --json -o {file}.1; \
         \"$1\" 127.0.0.1 {port} -c 3 -n 10 --json -o {file}.2; \
         exec \"$1\" report {file}.1 {file}.2 --json --html {file}.html"
    );
    let Some(process) = with_empty_proc(&script) else {
        return;
    };
    let report = process.report();
    assert_eq!((report.code, report.number("messages")), (0, 60), "{report:?}");
    assert!(report.json["client"].is_null(), "{report:?}");
}

#[test]
fn check_says_what_is_unknown_without_proc() {
    let Some(process) = with_empty_proc("\"$1\" 127.0.0.1 9 --check; exec \"$1\" ::1 9 --check")
    else {
        return;
    };
    let output = process.output();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]), "{output:?}");
    for need in ["open files of the machine", "ports x source", "bytes of memory", "connects under"]
    {
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with(need)).collect();
        assert_eq!(lines.len(), 2, "{need}: {text}");
        let is_unknown = |line: &&str| line.ends_with(" of      unknown  cannot be read here");
        assert!(lines.iter().all(is_unknown), "{need}: {text}");
    }
    assert!(!text.contains("1844674407"), "{text}");
}

/// A container has less memory than its machine.
#[test]
fn check_knows_the_limit_of_the_control_group() {
    let folder = "/sys/fs/cgroup";
    let setup = format!("mount -t tmpfs none {folder}; echo 1000000 >{folder}/memory.max");
    for (connections, code) in [(30, 0), (3000, 1)] {
        let script = format!("exec \"$1\" 127.0.0.1 9 --check --json -c {connections}");
        let Some(command) = in_namespace("--mount", &setup, &script) else {
            return;
        };
        let report = ClientProcess::start(command).report();
        let needs = report.json["needs"].as_array().expect("a list");
        let memory = needs.iter().find(|need| need["what"] == "bytes of memory");
        let available = &memory.expect("it is listed")["available"];
        assert_eq!((report.code, available), (code, &1_000_000.into()), "{report:?}");
    }
}

/// Some kernels do not say how much memory they use themselves.
#[test]
fn memory_of_the_kernel_that_is_unknown_is_null() {
    let server = ServerProcess::start(&["-t", "1"]);
    let (port, pid) = (server.address.port(), server.id());
    let meminfo = temporary("meminfo");
    std::fs::write(&meminfo, "MemTotal: 9000 kB\nMemAvailable: 8000 kB\n").expect("a file");
    let setup = format!("mount --bind {} /proc/meminfo", meminfo.display());
    let flags = format!("127.0.0.1 {port} -c 3 -n 10 --json --server-pid {pid}");
    let report = |script: &str| {
        let command = in_namespace("--mount", &setup, script)?;
        Some(ClientProcess::start(command).report())
    };
    let (Some(run), Some(check)) =
        (report(&format!("exec \"$1\" {flags}")), report(&format!("exec \"$1\" {flags} --check")))
    else {
        return;
    };
    assert_eq!((run.code, check.code), (0, 0), "{run:?} {check:?}");
    let memory = &run.json["server"]["bytes_per_connection"];
    assert!(memory["own"].is_number() && memory["kernel"].is_null(), "{run:?}");
    assert!(run.json["client"]["cpu_us_per_message"]["total"].is_number(), "{run:?}");
    let note = "the kernel's memory per connection is not known: /proc/meminfo has no Slab\n";
    assert_eq!(run.stderr, note);
    let available = check.json["needs"].as_array().expect("a list").iter();
    let available: Vec<_> = available.map(|need| &need["available"]).collect();
    assert!(available.contains(&&(8000 * 1024).into()), "{available:?}");
}

/// A hangup that is ignored, as under nohup, stays ignored.
#[test]
fn a_hangup_stays_ignored_without_proc() {
    let server = Running::echo(config(Framing::Raw));
    let port = server.address.port();
    let script = format!("trap '' HUP; exec \"$1\" 127.0.0.1 {port} -c 3 -d 1h --json");
    let Some(process) = with_empty_proc(&script) else {
        return;
    };
    let messages = || server.handle.stats().sum(|reactor| &reactor.messages);
    server.wait_until("messages arrive", |_| messages() > 0);
    process.signal(Signal::HUP);
    let before = messages();
    server.wait_until("it goes on", |_| messages() > before + 5000);
    process.signal(Signal::INT);
    assert_eq!(process.report().code, 130);
}
