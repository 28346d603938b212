//! Environment variables that others set for the program `server`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output};

use crate::support::client::variables_of;
use crate::support::server::{SERVER, ServerProcess, new_log};

/// Starts it on port 0 with these variables.
fn server(variables: &[(&str, &str)], flags: &[&str]) -> ServerProcess {
    let log = new_log();
    let mut command = Command::new(SERVER);
    command.args(flags).arg("--log-file").arg(&log);
    command.env("SERVER_PORT", "0").envs(variables.iter().copied());
    ServerProcess::spawn(command, log)
}

/// Asserts that it ends with a usage error that begins like this.
fn assert_usage_error(output: &Output, beginning: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{stderr}");
    assert!(stderr.starts_with(beginning), "{beginning}: {stderr}");
}

#[test]
fn an_empty_variable_is_one_that_is_not_set() {
    let names = variables_of(SERVER, &[]);
    let mut variables: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
    assert!(variables.len() > 10, "{names:?}");
    variables.retain(|&(name, _)| name != "SERVER_PORT");
    variables.push(("RUST_LOG", ""));
    let server = server(&variables, &[]);
    server.wait_for_log("listening on 127.0.0.1:");
    server.wait_for_log(" workers=0 framing=raw ");
    let mut command = Command::new(SERVER);
    command.args(["127.0.0.1", "70000"]).env("SERVER_PORT", "");
    assert_usage_error(&command.output().expect("it runs"), "error: invalid value '70000'");
}

#[test]
fn an_error_from_a_variable_names_it_with_its_value() {
    for (name, value, beginning) in [
        ("SERVER_WORKERS", "abc", "SERVER_WORKERS=\"abc\" in the environment: invalid value"),
        ("SERVER_FRAMING", "xml", "SERVER_FRAMING=\"xml\" in the environment: invalid value"),
        ("SERVER_PORT", "http", "SERVER_PORT=\"http\" in the environment: invalid value"),
        ("SERVER_IP", "1.2.3", "SERVER_IP=\"1.2.3\" in the environment: invalid value"),
        ("SERVER_WORK", "\n", "SERVER_WORK=\"\\n\" in the environment: invalid value"),
    ] {
        let output = Command::new(SERVER).env(name, value).output().expect("it runs");
        assert_usage_error(&output, &format!("error: {beginning}"));
    }
    let no_text = Command::new(SERVER).env("SERVER_WORK", OsStr::from_bytes(b"\xff")).output();
    let beginning = "error: SERVER_WORK=\"\\xFF\" in the environment: invalid UTF-8";
    assert_usage_error(&no_text.expect("it runs"), beginning);
    let conflict = Command::new(SERVER).env("SERVER_REPLY_PREFIX", "x").output();
    let beginning = "error: --reply-prefix goes in front of messages: add --framing len32 or line \
                     (SERVER_REPLY_PREFIX=\"x\" in the environment)";
    assert_usage_error(&conflict.expect("it runs"), beginning);
}

#[test]
fn an_error_on_the_command_line_names_no_variable() {
    let mut command = Command::new(SERVER);
    command.args(["--workers", "abc"]).env("SERVER_IO_THREADS", "x").env("SERVER_WORKERS", "abc");
    assert_usage_error(&command.output().expect("it runs"), "error: invalid value 'abc' for '--w");
}

#[test]
fn a_flag_overrides_a_variable_that_is_wrong() {
    server(&[("SERVER_WORKERS", "abc")], &["--workers", "1"]).wait_for_log(" workers=1 ");
}

#[test]
fn the_service_link_of_kubernetes_is_ignored_with_a_warning() {
    let link = ("SERVER_PORT", "tcp://10.0.0.1:9009");
    let server_with_port = server(&[link], &["127.0.0.1:0"]);
    server_with_port.wait_for_log("listening on");
    let warning = "WARN SERVER_PORT=\"tcp://10.0.0.1:9009\" is ignored: it is no port, but what \
                   Kubernetes sets for a service of that name\n";
    assert!(server_with_port.log().contains(warning), "{}", server_with_port.log());
    let silent = server(&[link], &["127.0.0.1", "0"]);
    silent.wait_for_log("listening on");
    assert!(!silent.log().contains("SERVER_PORT"), "{}", silent.log());
}
