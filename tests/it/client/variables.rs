//! Environment variables that others set for the program `client`.

use std::process::Command;

use crate::support::client::{CLIENT, ClientProcess, JsonReport, client, stderr, variables_of};
use crate::support::running::{Running, config};
use reactor_server::Framing;

#[test]
fn an_empty_variable_is_one_that_is_not_set() {
    let server = Running::echo(config(Framing::Raw));
    let mut command = client(server.address, &["-n", "2", "--json"]);
    let names = variables_of(CLIENT, &[]);
    assert!(names.len() > 20, "{names:?}");
    command.envs(names.iter().map(|name| (name, "")));
    let report = ClientProcess::start(command).report();
    assert_eq!((report.code, report.number("messages")), (0, 60), "{}", report.stderr);
    let mut command = Command::new(CLIENT);
    command
        .args(["report", "/dev/null"])
        .envs(variables_of(CLIENT, &["report"]).iter().map(|it| (it, "")));
    let stderr = stderr(&ClientProcess::start(command).output());
    assert!(stderr.starts_with("error: /dev/null has no results"), "{stderr}");
}

#[test]
fn an_error_from_a_variable_names_it_with_its_value() {
    for (name, value, reason) in [
        ("CLIENT_CONNECTIONS", "x", "for '--connections <N>'"),
        ("CLIENT_QUIET", "maybe", "for '--quiet': value was not a boolean"),
        ("CLIENT_FAIL_IF", "p99>1s,x", "invalid value 'x' for '--fail-if <CONDITION>'"),
        ("CLIENT_IP", "tcp://10.0.0.1:9009", "write 10.0.0.1:9009 without tcp://"),
        ("CLIENT_PORT", "x", "invalid value 'x' for '[PORT]'"),
        ("CLIENT_SOURCE", "::1", "must both be IPv4 or both be IPv6"),
    ] {
        let mut command = Command::new(CLIENT);
        // A wrong word ends it before it connects.
        command
            .env("CLIENT_IP", "127.0.0.1")
            .env("CLIENT_PORT", "9")
            .arg("--check")
            .env(name, value);
        let output = command.output().expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{stderr}");
        assert!(stderr.contains(&format!("{name}={value:?} in the environment")), "{stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(reason), "{stderr}");
    }
}

#[test]
fn words_override_variables_and_the_service_link_of_kubernetes_is_ignored() {
    let server = Running::echo(config(Framing::Raw));
    let (ip, port) = (server.address.ip().to_string(), server.address.port().to_string());
    let run = |words: &[&str], variables: &[(&str, &str)]| -> JsonReport {
        let mut command = Command::new(CLIENT);
        command.args(words).args(["-c", "1", "-n", "1", "--json"]).envs(variables.iter().copied());
        let report = ClientProcess::start(command).report();
        assert_eq!((report.code, report.number("messages")), (0, 1), "{}", report.stderr);
        report
    };
    let both = server.address.to_string();
    run(&[], &[("CLIENT_IP", &ip), ("CLIENT_PORT", &port)]);
    run(&[], &[("CLIENT_IP", &both), ("CLIENT_PORT", "9")]);
    run(&[&ip], &[("CLIENT_IP", "127.0.0.9"), ("CLIENT_PORT", &port)]);
    run(&[&ip, &port], &[("CLIENT_IP", "127.0.0.9"), ("CLIENT_PORT", "9")]);
    let link = [("CLIENT_PORT", "tcp://10.0.0.1:9009")];
    let warned = run(&[&both], &link).stderr;
    assert!(warned.starts_with("warning: CLIENT_PORT=\"tcp://10.0.0.1:9009\" is ign"), "{warned}");
    assert_eq!(warned.lines().count(), 1, "{warned}");
    assert_eq!(run(&[&both, "-q"], &link).stderr, "");
    assert_eq!(run(&[&ip, &port], &link).stderr, "");
}
