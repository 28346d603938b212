//! How a server is named on the command line.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Output};

use crate::support::client::{CLIENT, ClientProcess, JsonReport};
use crate::support::namespace::in_namespace;
use crate::support::running::{Running, config};
use crate::support::temporary;
use reactor_server::{Config, Framing, Reason};
use socket2::{Domain, Socket, Type};

fn run(words: &[&str]) -> JsonReport {
    let mut command = Command::new(CLIENT);
    command.args(words).args(["-n", "1", "--json"]);
    ClientProcess::start(command).report()
}

/// Asserts how many messages it verified, and on which address.
fn assert_verified(report: &JsonReport, messages: u64, address: SocketAddr) {
    assert_eq!((report.code, report.number("messages")), (0, messages), "{}", report.stderr);
    assert_eq!(report.json["plan"]["targets"], serde_json::json!([address.to_string()]));
}

#[test]
fn a_target_is_one_word_or_two_and_the_other_words_follow() {
    let server = Running::echo(config(Framing::Raw));
    let (address, port) = (server.address, server.address.port().to_string());
    let both = address.to_string();
    for words in [
        &[&both[..], "3"][..],
        &["127.0.0.1", &port, "3"],
        &[&both, "3", "1000"],
        &["127.0.0.1", &port, "3", "1000"],
        &[&both, "-c", "3"],
        &[&format!("::ffff:{}", address.ip()), &port, "3"],
    ] {
        let report = run(words);
        assert_verified(&report, 3, address);
        assert_eq!(report.stderr, "", "{words:?}");
    }
}

#[test]
fn an_ipv6_address_with_its_port_has_brackets() {
    let Some(server) = Running::echo_over_ipv6() else { return };
    let port = server.address.port().to_string();
    assert_verified(&run(&[&server.address.to_string(), "2"]), 2, server.address);
    assert_verified(&run(&["::1", &port, "2"]), 2, server.address);
    assert_verified(&run(&["[::1]", &port, "2"]), 2, server.address);
}

#[test]
fn an_address_costs_no_connection_of_its_own() {
    let server = Running::echo(config(Framing::Raw));
    assert_verified(&run(&[&server.address.to_string(), "2"]), 2, server.address);
    assert_eq!(server.handle.stats().acceptor.accepted.get(), 2);
}

#[test]
fn the_address_of_a_name_is_printed_unless_quiet() {
    let server = Running::echo(config(Framing::Raw));
    let target = format!("localhost:{}", server.address.port());
    let report = run(&[&target, "2"]);
    assert_verified(&report, 2, server.address);
    let line = format!("{target} is {}", server.address);
    assert!(report.stderr.starts_with(&line), "{}", report.stderr);
    let quiet = run(&["localhost", &server.address.port().to_string(), "2", "-q"]);
    assert_verified(&quiet, 2, server.address);
    assert_eq!(quiet.stderr, "");
}

/// Runs it where `many` is 127.0.0.9 and 127.0.0.1, and the resolver asks no other machine.
/// `None` where there is no such place. Tests run at the same time, so each has a folder.
fn run_with_hosts(folder: &str, words: &[&str]) -> Option<Output> {
    let folder = temporary(folder);
    fs::create_dir_all(&folder).expect("a folder");
    let file = |name: &str, text: &str| {
        fs::write(folder.join(name), text).expect("a file");
        format!("mount --bind '{}/{name}' /etc/{name}\n", folder.display())
    };
    let setup = [
        file("hosts", "127.0.0.9 many\n127.0.0.1 many\n"),
        file("nsswitch.conf", "hosts: files\n"),
        file("host.conf", "multi on\n"),
    ];
    let mut command = in_namespace("--mount", &setup.concat(), "exec \"$1\" \"${@:3}\"")?;
    command.args(words).args(["-n", "1", "--json"]);
    Some(ClientProcess::start(command).output())
}

#[test]
fn the_first_address_of_a_name_that_answers_is_used() {
    // The resolver returns 127.0.0.1 first, where nobody listens on this port.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    let refusing = socket.local_addr().expect("an address").as_socket().expect("an address");
    let address = SocketAddr::from(([127, 0, 0, 9], refusing.port()));
    let server = Running::echo(Config { address, ..config(Framing::Raw) });
    let target = format!("many:{}", address.port());
    let Some(output) = run_with_hosts("etc-many", &[&target, "2"]) else { return };
    let report = JsonReport::of(&output);
    assert_verified(&report, 2, address);
    let line = format!("{target} is {address}; {refusing} does not answer: Connection refused");
    assert!(report.stderr.starts_with(&line), "{}", report.stderr);
    // The connection that finds this out is reset before the run.
    server.wait_until("one reset", |stats| stats.closed_for(Reason::Reset) == 1);
    assert_eq!(server.handle.stats().acceptor.accepted.get(), 3);
    let words = [&target[..], "2", "--source", "127.0.0.3"];
    let output = run_with_hosts("etc-many", &words).expect("as before");
    assert_verified(&JsonReport::of(&output), 2, address);
    drop(server);

    let nobody = format!("many:{}", refusing.port());
    let report = JsonReport::of(&run_with_hosts("etc-many", &[&nobody, "2"]).expect("as before"));
    assert_eq!((report.code, &report.json["connections"]["failed"]), (1, &2.into()));
    assert_eq!(report.stderr.matches(" does not answer: ").count(), 2, "{}", report.stderr);
}

#[test]
fn a_name_without_a_usable_address_is_an_error() {
    for (words, reason) in [
        (&["none.invalid:9"][..], "error: cannot find none.invalid: failed to lookup address"),
        (&["many:9", "--source", "::1"], "error: many has no address of the family of --source"),
        (&["[fe80::1%none]:9"], "error: cannot find fe80::1%none: this machine has no network int"),
    ] {
        let Some(output) = run_with_hosts("etc-none", words) else { return };
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{stderr}");
        assert!(stderr.starts_with(reason) && stderr.lines().count() == 1, "{stderr}");
    }
}

#[test]
fn wrong_words_are_refused_with_what_is_right() {
    for (words, reason) in [
        (&[][..], "the client needs a server. Start one and give its address:\n  server 127.0.0.1"),
        (&["-c", "5"], "the client needs a server"),
        (&["localhost"], "localhost has no port: write HOST:PORT, as in localhost:9009, or two"),
        (&["::1:9009"], "::1:9009 has no port: write HOST:PORT, as in [::1]:9009, or two words"),
        (&["127.0.0.1:"], "the port is missing, as in localhost:9009"),
        (&[":9009"], "the host is missing, as in localhost:9009"),
        (&["9009"], "\"9009\" is no host"),
        (&["127.0.0.1:99999"], "\"99999\" is no port"),
        (&["127.0.0.1", "localhost:9"], "\"localhost:9\" is no port"),
        (&["127.0.0.1:0"], "no server has port 0"),
        (&["tcp://127.0.0.1:9"], "write 127.0.0.1:9 without tcp://"),
        (&["fe80::1", "9"], "fe80::1 needs its network interface"),
        (&["127.0.0.1:9", "0"], "invalid value '0' for '[CONNECTIONS]': must be at least 1"),
        (&["127.0.0.1:9", "1", "x"], "invalid value 'x' for '[PER_SECOND]'"),
        (&["127.0.0.1:9", "1", "2", "3"], "unexpected argument '3'"),
        (&["127.0.0.1:9", "1", "-c", "1"], "CONNECTIONS and --connections are the same"),
        (&["127.0.0.1:9", "--source", "[::1%lo]:5"], "has a port, which the kernel chooses"),
    ] {
        let output = Command::new(CLIENT).args(words).arg("--check").output().expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{words:?}");
        assert!(stderr.starts_with("error: ") && stderr.contains(reason), "{words:?}: {stderr}");
    }
}
