//! Addresses to listen on, and those of peers in the log.

use std::process::Command;

use crate::support::client::{CLIENT, ClientProcess};
use crate::support::eventually;
use crate::support::namespace::{beside, in_network};
use crate::support::server::{SERVER, ServerProcess, new_log};

/// The command of a server in a network of its own.
fn isolated(setup: &str, address: &str) -> Option<Command> {
    let mut command = in_network(setup, "exec \"$2\" \"${@:3}\"")?;
    command.args([address, "0", "-t", "1"]);
    Some(command)
}

fn isolated_server(setup: &str, address: &str) -> Option<ServerProcess> {
    let (mut command, log) = (isolated(setup, address)?, new_log());
    command.arg("--log-file").arg(&log);
    Some(ServerProcess::spawn(command, log))
}

/// Has a client in the server's network verify a message, and returns its JSON.
fn verify(server: &ServerProcess, host: &str, flags: &[&str]) -> serde_json::Value {
    let target = format!("{host}:{}", server.address.port());
    let mut command = beside(server.id(), CLIENT);
    command.args([&target, "-c", "1", "-n", "1", "--json"]).args(flags);
    let report = ClientProcess::start(command).report();
    assert_eq!((report.code, report.number("messages")), (0, 1), "{host}: {}", report.stderr);
    report.json
}

/// Waits for the lines of a connection from this address.
fn wait_for_both_lines(server: &ServerProcess, ip: &str) {
    for kind in ["new connection fd=", "connection close fd="] {
        let is_it = |line: &str| line.contains(kind) && line.contains(&format!(",ip={ip},port="));
        eventually(kind, || server.log().lines().any(is_it));
    }
}

#[test]
fn all_addresses_are_served_over_ipv6_and_ipv4_whatever_the_sysctl() {
    for only_v6 in ["0", "1"] {
        let setup = format!("echo {only_v6} >/proc/sys/net/ipv6/bindv6only");
        let Some(server) = isolated_server(&setup, "::") else { return };
        server.wait_for_log(" families=ipv6,ipv4\n");
        for (host, ip) in [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1")] {
            verify(&server, host, &[]);
            wait_for_both_lines(&server, ip);
        }
        assert!(!server.log().contains("ffff"), "{}", server.log());
    }
}

#[test]
fn without_ipv6_all_addresses_are_served_over_ipv4_and_others_are_a_clear_error() {
    let setup = "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6";
    let Some(server) = isolated_server(setup, "::") else { return };
    verify(&server, "127.0.0.1", &[]);
    let output = isolated(setup, "::1").expect("as before").output().expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.starts_with("error: cannot listen on [::1]:0: Cannot assign"), "{stderr}");
    assert!(stderr.contains("IPv6 is disabled (net.ipv6.conf.all.disable_ipv6)"), "{stderr}");
}

#[test]
fn an_address_with_a_scope_keeps_it_in_the_log_and_in_results() {
    let setup = "ip link add br-lan type veth peer name other
                 ip addr add fe80::1/64 dev br-lan nodad
                 ip link set br-lan up; ip link set other up";
    let Some(server) = isolated_server(setup, "fe80::1%br-lan") else { return };
    let scope = server.address.to_string();
    let scope = scope.trim_start_matches("[fe80::1%").split(']').next().expect("a number");
    assert!(scope.parse::<u32>().is_ok_and(|scope| scope > 0), "{scope}");
    let numbered = format!("[fe80::1%{scope}]");
    for (host, flags) in
        [("[fe80::1%br-lan]", &["--source", "fe80::1%br-lan"][..]), (&numbered, &[])]
    {
        let json = verify(&server, host, flags);
        assert_eq!(json["plan"]["targets"][0], server.address.to_string());
    }
    wait_for_both_lines(&server, &format!("fe80::1%{scope}"));
}

#[test]
fn a_name_or_an_address_with_its_port_can_be_listened_on() {
    for words in [&["localhost", "0"][..], &["localhost:0"], &["127.0.0.1:0"]] {
        let log = new_log();
        let mut command = Command::new(SERVER);
        command.args(words).arg("--log-file").arg(&log);
        assert!(ServerProcess::spawn(command, log).is_alive(), "{words:?}");
    }
    for (words, reason) in [
        (&["127.0.0.1:1", "2"][..], "[IP] and [PORT] both have a port"),
        (&["fe80::1"], "fe80::1 needs its network interface, as in fe80::1%eth0"),
        (&["9009"], "\"9009\" is no host"),
    ] {
        let output = Command::new(SERVER).args(words).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(stderr.starts_with("error: ") && stderr.contains(reason), "{stderr}");
    }
}
