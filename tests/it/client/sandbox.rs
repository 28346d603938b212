//! The client in sandboxes and on kernels that refuse calls.

use crate::support::client::{CLIENT, ClientProcess, JsonReport};
use crate::support::namespace::in_namespace;
use crate::support::server::ServerProcess;
use crate::support::strace::refuse;

/// Loads the server with 20 connections, which must succeed. `None` if calls cannot be made
/// to fail.
fn load(server: &ServerProcess, calls: &str, errno: &str, flags: &[&str]) -> Option<JsonReport> {
    let mut command = refuse(calls, errno, CLIENT)?;
    command.args(["127.0.0.1", &server.address.port().to_string(), "-c", "20", "-n", "5"]);
    command.args(["--source", "127.0.0.2", "--json"]).args(flags);
    let report = ClientProcess::start(command).report();
    assert_eq!((report.code, report.number("messages")), (0, 100), "{report:?}");
    Some(report)
}

#[test]
fn options_that_the_kernel_refuses_are_each_reported_once() {
    let server = ServerProcess::start(&["-t", "1"]);
    for errno in ["ENOPROTOOPT", "EINVAL", "EPERM", "ENOSYS"] {
        let Some(report) = load(&server, "setsockopt", errno, &[]) else { return };
        for option in ["TCP_NODELAY", "SO_OOBINLINE", "IP_BIND_ADDRESS_NO_PORT"] {
            let warning = format!("cannot set {option}, so ");
            assert_eq!(report.stderr.matches(&warning).count(), 1, "{errno}: {}", report.stderr);
        }
    }
}

#[test]
fn a_kernel_that_refuses_nothing_is_not_reported() {
    let server = ServerProcess::start(&["-t", "1"]);
    let Some(report) = load(&server, "setsockopt:when=1000", "ENOPROTOOPT", &[]) else { return };
    assert_eq!(report.stderr, "");
}

#[test]
fn a_descriptor_limit_that_cannot_be_read_is_reported() {
    let server = ServerProcess::start(&["-t", "1"]);
    let Some(report) = load(&server, "prlimit64,getrlimit", "EPERM", &[]) else { return };
    let warning = "cannot raise the limit of open descriptors: Operation not permitted";
    assert!(report.stderr.starts_with(warning), "{}", report.stderr);
    let quiet = load(&server, "prlimit64,getrlimit", "EPERM", &["-q"]).expect("as before");
    assert_eq!(quiet.stderr, "");
}

/// The rest is in use, but for what the kernel caches.
#[test]
fn check_compares_with_the_memory_that_the_control_group_has_left() {
    let folder = "/sys/fs/cgroup";
    let setup = format!(
        "mount -t tmpfs none {folder}; cd {folder}; echo 1000000 >memory.max; \
         echo 900000 >memory.current; echo inactive_file 50000 >memory.stat"
    );
    let script = "exec \"$1\" 127.0.0.1 9 --check --json -c 30";
    let Some(command) = in_namespace("--mount", &setup, script) else { return };
    let report = ClientProcess::start(command).report();
    let needs = report.json["needs"].as_array().expect("a list");
    let memory = needs.iter().find(|need| need["what"] == "bytes of memory");
    let available = &memory.expect("it is listed")["available"];
    assert_eq!((report.code, available), (1, &150_000.into()), "{report:?}");
}
