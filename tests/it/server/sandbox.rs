//! The server in sandboxes and on kernels that refuse calls.

use std::collections::BTreeSet;

use crate::support::server::{SERVER, ServerProcess, new_log};
use crate::support::strace::refuse;

/// The options that the server sets, of which it needs none.
const OPTIONS: [&str; 8] = [
    "SO_KEEPALIVE",
    "SO_OOBINLINE",
    "SO_REUSEADDR",
    "TCP_KEEPCNT",
    "TCP_KEEPIDLE",
    "TCP_KEEPINTVL",
    "TCP_NODELAY",
    "TCP_USER_TIMEOUT",
];

/// Starts the server on this address, which must serve, and returns its log. `None` if calls
/// cannot be made to fail.
fn log_of_server(ip: &str, calls: &str, errno: &str) -> Option<String> {
    let (mut command, log) = (refuse(calls, errno, SERVER)?, new_log());
    command.args([ip, "0", "--io-threads", "1", "--log-file"]).arg(&log);
    let server = ServerProcess::spawn(command, log);
    assert!(server.is_alive(), "{calls} {errno}");
    server.wait_for_log("listening on");
    Some(server.log())
}

/// The options that the server warns of.
fn options_missed(ip: &str, calls: &str, errno: &str) -> Option<Vec<String>> {
    let log = log_of_server(ip, calls, errno)?;
    let warnings = log.lines().filter_map(|line| line.split_once(" WARN cannot set "));
    Some(warnings.map(|(_, rest)| rest.split(',').next().unwrap_or_default().to_owned()).collect())
}

#[test]
fn an_option_that_the_kernel_refuses_is_a_warning_that_names_it() {
    let mut named = BTreeSet::new();
    for number in 1.. {
        let call = format!("setsockopt:when={number}");
        let Some(missed) = options_missed("127.0.0.1", &call, "ENOPROTOOPT") else { return };
        assert!(missed.len() <= 1, "call {number}: {missed:?}");
        if missed.is_empty() {
            break;
        }
        named.extend(missed);
    }
    assert!(named.iter().eq(OPTIONS), "{named:?}");
}

#[test]
fn without_any_option_the_server_serves() {
    for errno in ["ENOPROTOOPT", "EOPNOTSUPP", "EINVAL", "EPERM", "EACCES", "ENOSYS"] {
        let Some(mut missed) = options_missed("127.0.0.1", "setsockopt", errno) else { return };
        missed.sort();
        assert_eq!(missed, OPTIONS, "{errno}");
    }
}

#[test]
fn an_option_that_the_kernel_refuses_to_set_and_that_is_set_is_none_that_is_missed() {
    let is_both = std::fs::read_to_string("/proc/sys/net/ipv6/bindv6only");
    if !is_both.is_ok_and(|text| text.trim() == "0") {
        return eprintln!("skipped: a socket of IPv6 does not serve IPv4 by default here");
    }
    let Some(mut missed) = options_missed("::", "setsockopt", "EPERM") else { return };
    missed.sort();
    assert_eq!(missed, OPTIONS);
}

#[test]
fn a_descriptor_limit_that_cannot_be_read_is_a_warning() {
    let Some(log) = log_of_server("127.0.0.1", "prlimit64,getrlimit", "EPERM") else { return };
    let warning = " WARN cannot raise the limit of open descriptors: Operation not permitted";
    assert_eq!(log.matches(warning).count(), 1, "{log}");
}
