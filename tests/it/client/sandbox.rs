//! The client in sandboxes and on kernels that refuse calls.

use crate::support::client::{CLIENT, ClientProcess, JsonReport};
use crate::support::server::ServerProcess;
use crate::support::strace::refuse;

/// Loads the server with 20 connections, which must succeed. `None` if calls cannot be made
/// to fail.
fn load(server: &ServerProcess, calls: &str, errno: &str) -> Option<JsonReport> {
    let mut command = refuse(calls, errno, CLIENT)?;
    command.args(["127.0.0.1", &server.address.port().to_string(), "-c", "20", "-n", "5"]);
    command.args(["--source", "127.0.0.2", "--json"]);
    let report = ClientProcess::start(command).report();
    assert_eq!((report.code, report.number("messages")), (0, 100), "{report:?}");
    Some(report)
}

#[test]
fn options_that_the_kernel_refuses_are_each_reported_once() {
    let server = ServerProcess::start(&["-t", "1"]);
    for errno in ["ENOPROTOOPT", "EINVAL", "EPERM", "ENOSYS"] {
        let Some(report) = load(&server, "setsockopt", errno) else { return };
        for option in ["TCP_NODELAY", "SO_OOBINLINE", "IP_BIND_ADDRESS_NO_PORT"] {
            let warning = format!("cannot set {option}, so ");
            assert_eq!(report.stderr.matches(&warning).count(), 1, "{errno}: {}", report.stderr);
        }
    }
}

#[test]
fn a_kernel_that_refuses_nothing_is_not_reported() {
    let server = ServerProcess::start(&["-t", "1"]);
    let Some(report) = load(&server, "setsockopt:when=1000", "ENOPROTOOPT") else { return };
    assert_eq!(report.stderr, "");
}

#[test]
fn a_descriptor_limit_that_cannot_be_read_is_reported() {
    let server = ServerProcess::start(&["-t", "1"]);
    let Some(report) = load(&server, "prlimit64,getrlimit", "EPERM") else { return };
    let warning = "cannot raise the limit of open descriptors: Operation not permitted";
    assert!(report.stderr.starts_with(warning), "{}", report.stderr);
}
