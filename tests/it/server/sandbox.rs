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

/// Starts the server, which must serve, and returns the options that it warns of. `None`
/// if calls cannot be made to fail.
fn options_missed(calls: &str, errno: &str) -> Option<Vec<String>> {
    let (mut command, log) = (refuse(calls, errno, SERVER)?, new_log());
    command.args(["127.0.0.1", "0", "--io-threads", "1", "--log-file"]).arg(&log);
    let server = ServerProcess::spawn(command, log);
    assert!(server.is_alive(), "{calls} {errno}");
    server.wait_for_log("listening on");
    let log = server.log();
    let warnings = log.lines().filter_map(|line| line.split_once(" WARN cannot set "));
    Some(warnings.map(|(_, rest)| rest.split(',').next().unwrap_or_default().to_owned()).collect())
}

#[test]
fn an_option_that_the_kernel_refuses_is_a_warning_that_names_it() {
    let mut named = BTreeSet::new();
    for number in 1.. {
        let Some(missed) = options_missed(&format!("setsockopt:when={number}"), "ENOPROTOOPT")
        else {
            return;
        };
        assert!(missed.len() <= 1, "call {number}: {missed:?}");
        if missed.is_empty() {
            break;
        }
        named.extend(missed);
    }
    assert!(named.iter().eq(OPTIONS), "{named:?}");
}

#[test]
fn a_kernel_that_refuses_all_options_is_served_from() {
    for errno in ["ENOPROTOOPT", "EOPNOTSUPP", "EINVAL", "EPERM", "EACCES", "ENOSYS"] {
        let Some(mut missed) = options_missed("setsockopt", errno) else { return };
        missed.sort();
        assert_eq!(missed, OPTIONS, "{errno}");
    }
}
