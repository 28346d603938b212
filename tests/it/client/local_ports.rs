//! The local ports that the kernel chooses for connections.

use std::process::Command;

use serde_json::Value;

use crate::support::client::{ClientProcess, run_json};
use crate::support::namespace::in_network;
use crate::support::unused_address;

/// Whether the kernel uses a local port again that was in TIME_WAIT for a second.
#[derive(Debug, Clone, Copy)]
enum Reuse {
    /// It does so after a minute.
    Never = 0,
    OnLoopback = 2,
}

/// A network on which the kernel chooses these ports for connections.
fn in_network_of(ports: &str, reuse: Reuse, script: &str) -> Option<Command> {
    let reuse = reuse as u8;
    let ports = format!("echo {ports} >ip_local_port_range");
    let setup = format!("cd /proc/sys/net/ipv4; {ports}; echo {reuse} >tcp_tw_reuse");
    in_network(&setup, script)
}

/// Starts the client in a network of its own that has 100 ports for connections, where a server
/// listens on port 9009.
fn beside_server(reuse: Reuse, flags: &str) -> Option<ClientProcess> {
    let script = format!(
        "exec 3< <(exec \"$2\" 127.0.0.1 9009 2>&1); server=$!; read -ru 3 _; \
         code=0; \"$1\" 127.0.0.1 9009 --source 127.0.0.1 --json {flags} || code=$?; \
         kill $server; exit $code"
    );
    in_network_of("40000 40099", reuse, &script).map(ClientProcess::start)
}

/// Nobody listens, and the kernel has no other port than that one to connect from.
#[test]
fn a_client_that_is_connected_to_itself_reports_an_error_and_leaves_the_port() {
    for (target, flags) in [
        ("127.0.0.1", "-c 1"),
        ("127.0.0.1", "-c 3 --source 127.0.0.1 --threads 3 --close rst"),
        ("127.0.0.1", "-c 1 --hold 1h"),
        ("0.0.0.0", "-c 3 --rate 1k --reconnect-every 1"),
        ("::1", "-c 3"),
    ] {
        // What is left of the connections is printed behind the results.
        let script = format!(
            "code=0; \"$1\" {target} 40000 -n 10 --json {flags} || code=$?; \
             cat /proc/net/tcp /proc/net/tcp6 | grep -v local_address >&2 || true; exit $code"
        );
        let Some(command) = in_network_of("40000 40000", Reuse::OnLoopback, &script) else {
            return;
        };
        let report = ClientProcess::start(command).report();
        let why = "the kernel connected the client to itself";
        let what = format!("cannot connect: nobody listens on port 40000: {why}");
        let count: u64 = flags[3..4].parse().expect("a digit");
        report.assert_complaints(&[(&what, count)]);
        let connections = &report.json["connections"];
        assert_eq!((&connections["opened"], &connections["failed"]), (&0.into(), &count.into()));
        assert_eq!(connections["failures"], serde_json::json!({ why: count }));
        assert_eq!((report.number("messages"), report.number("bytes_sent")), (0, 0));
        assert!(!report.stderr.contains(":9C40 "), "the port is taken: {}", report.stderr);
    }
}

const SHORT: &str = "out of local ports: waiting for one";

/// On loopback the kernel uses a port again that was in TIME_WAIT for a second.
#[test]
fn reconnects_wait_for_a_local_port() {
    let processes = ["1", "2"].map(|threads| {
        let flags = format!("-c 10 -n 15 --reconnect-every 1 --threads {threads}");
        beside_server(Reuse::OnLoopback, &flags)
    });
    for report in processes.into_iter().flatten().map(ClientProcess::report) {
        assert_eq!((report.code, report.number("messages")), (0, 150), "{report:?}");
        assert_eq!(report.json["connections"]["reopened"], 140, "{report:?}");
        assert_eq!(report.stderr.matches(SHORT).count(), 1, "{report:?}");
    }
}

#[test]
fn time_is_up_also_for_connections_that_wait_for_a_port() {
    let processes = ["", "--rate 2k"].map(|rate| {
        let flags = format!("-c 10 -d 1s {rate} --reconnect-every 1");
        beside_server(Reuse::Never, &flags)
    });
    for report in processes.into_iter().flatten().map(ClientProcess::report) {
        assert_eq!((report.code, report.number("errors")), (0, 0), "{report:?}");
        let seconds = report.json["seconds"].as_f64().expect("a number");
        // An attempt to connect ends after 5 s.
        assert!(seconds < 4.0 && report.number("messages") <= 100, "{report:?}");
        assert_eq!(report.number("bytes_sent"), 24 * report.number("messages"), "{report:?}");
        assert!(report.stderr.contains(SHORT), "{report:?}");
        // There are no ports for more.
        let reopened = report.json["connections"]["reopened"].as_u64();
        assert!(reopened.is_some_and(|reopened| reopened <= 90), "{report:?}");
    }
}

#[test]
fn resets_leave_no_port_in_use() {
    let flags = "-c 10 -n 100 --reconnect-every 1 --close rst";
    let Some(process) = beside_server(Reuse::OnLoopback, flags) else {
        return;
    };
    let report = process.report();
    assert_eq!((report.code, report.number("messages")), (0, 1000), "{report:?}");
    assert_eq!((report.number("not_closed"), &report.stderr[..]), (0, ""), "{report:?}");
}

/// The ports are those of connections that stay open.
#[test]
fn connections_without_a_port_fail_after_the_connect_timeout() {
    let flags = "-c 130 -n 5 --connect-timeout 300ms";
    let Some(process) = beside_server(Reuse::OnLoopback, flags) else {
        return;
    };
    let report = process.report();
    let why = "Cannot assign requested address (os error 99)";
    assert_eq!(report.json["connections"]["failures"], serde_json::json!({ why: 30 }));
    assert_eq!((report.code, report.number("messages")), (1, 500), "{report:?}");
    assert!(report.complaints()[0].0.contains("no local port is free"), "{report:?}");
}

/// What `--check` says of the ports that these flags need.
fn ports_needed(flags: &[&str]) -> Value {
    let report = run_json(unused_address(), &[&["--check", "-c", "30"], flags].concat());
    let needs = report.json["needs"].as_array().expect("a list");
    let ports = needs.iter().find(|need| need["what"] == "ports x source addresses");
    ports.expect("it is listed").clone()
}

#[test]
fn check_counts_the_ports_that_reconnects_keep() {
    for (flags, needed) in [
        (&["--reconnect-every", "10", "--rate", "1k", "-d", "10m"][..], 30 + 6000),
        (&["--reconnect-every", "10", "--rate", "1k", "-d", "10s"], 30 + 1000),
        (&["--reconnect-every", "10", "-n", "101"], 30 + 300),
        (&["--reconnect-every", "10", "-n", "101", "--close", "strict"], 30 + 300),
        (&["--reconnect-every", "10", "-n", "101", "--close", "rst"], 30),
        (&["-n", "101"], 30),
    ] {
        let ports = ports_needed(flags);
        assert_eq!(ports["needed"], needed, "{flags:?}: {ports}");
        assert!(ports["provided"].is_null(), "{flags:?}: {ports}");
    }
    let unlimited = ["--reconnect-every", "1", "-d", "1m", "--source", "127.0.0.1"];
    let ports = ports_needed(&unlimited);
    let provided = ports["provided"].as_str().expect("a sentence");
    assert!(provided.contains(" connections per second are replaced"), "{ports}");
    let short = ["--reconnect-every", "1", "-n", "1m", "--source", "127.0.0.1"];
    assert!(ports_needed(&short)["fix"].as_str().is_some_and(|fix| fix.contains("--close rst")));
}
