//! `server --check`: what this machine can hold, and what limits it.

use std::process::{Command, Output};

use crate::support::namespace::in_namespace;
use crate::support::server::SERVER;
use crate::support::temporary;

/// Runs it with this soft and hard limit of descriptors.
fn check(limits: &str, flags: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={limits}")).arg(SERVER).arg("--check").args(flags);
    answer(&command.output().expect("prlimit"))
}

fn answer(output: &Output) -> (Option<i32>, String) {
    assert!(output.stderr.is_empty(), "{output:?}");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn line<'a>(text: &'a str, what: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(what)).unwrap_or_else(|| panic!("{what}: {text}"))
}

#[test]
fn check_says_how_many_connections_fit_and_what_comes_next() {
    let (code, text) = check("1000:1000", &["-t", "2"]);
    assert_eq!(code, Some(0), "{text}");
    // 32 for the program, and an epoll and a waker for each of three threads.
    assert!(text.starts_with("962 connections\n"), "{text}");
    assert!(line(&text, "descriptors of a process").ends_with(" 1000 of         1000  fits"));
    let last = "This machine can hold 962 connections. Next come descriptors of a process: raise the \
                hard limit (ulimit -Hn 1001; LimitNOFILE=1001 in systemd)\n";
    assert!(text.ends_with(last), "{text}");
}

#[test]
fn check_names_each_limit_that_is_too_low_and_how_to_raise_it() {
    let (code, text) = check("100:1000", &["-t", "2", "--max-connections", "2000"]);
    assert_eq!(code, Some(1), "{text}");
    let short = line(&text, "descriptors of a process");
    assert!(short.contains("2038 of         1000  short: raise the hard limit (ulimit -Hn 2038"));
    assert!(text.ends_with("This machine can hold 962 connections.\n"), "{text}");
    let (code, text) = check("100:1000", &["-t", "2", "--max-connections", "500"]);
    let provided = "fits, provided that the server may raise its soft limit of 100";
    assert!(line(&text, "descriptors of a process").ends_with(provided), "{text}");
    assert_eq!(code, Some(0));
}

/// A container has less memory and fewer threads than its machine.
#[test]
fn check_knows_the_limits_of_the_control_group() {
    let folder = "/sys/fs/cgroup";
    let setup = format!(
        "mount -t tmpfs none {folder}; echo 20000000 >{folder}/memory.max; \
         echo 12 >{folder}/pids.max; echo 2 >{folder}/pids.current"
    );
    let script = format!("exec {SERVER} --check -t 3 --workers 2 --max-connections 5000");
    let Some(mut command) = in_namespace("--mount", &setup, &script) else { return };
    let (code, text) = answer(&command.output().expect("it runs"));
    assert_eq!(code, Some(1), "{text}");
    assert!(line(&text, "bytes of memory").contains(" of     20000000  short: more memory"));
    let threads = "11 of           10  short: raise pids.max (TasksMax= in systemd)";
    assert!(line(&text, "threads of the control group").ends_with(threads), "{text}");
}

/// Nothing is bound, so that it can be asked beside a server that runs.
#[test]
fn check_changes_nothing() {
    let (code, _) = check("1000:1000", &["192.0.2.1", "9", "--log-file", "/no/such/folder/log"]);
    assert_eq!(code, Some(0));
}

#[test]
fn tune_raises_what_is_too_low_and_puts_it_back() {
    let folder = temporary("tune");
    let settings = [
        ("fs/file-nr", "100\t0\t500000\n"),
        ("fs/file-max", "500000\n"),
        ("fs/nr_open", "1000\n"),
        ("net/core/somaxconn", "128\n"),
        ("net/netfilter/nf_conntrack_count", "7\n"),
        ("net/netfilter/nf_conntrack_max", "9\n"),
        ("net/ipv4/ip_local_port_range", "32768\t60999\n"),
    ];
    for (name, value) in settings {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, value).expect("a setting");
    }
    let value = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a setting");
    let tune = |flags: &[&str]| {
        let mut command = Command::new("scripts/tune.sh");
        command.args(flags).env("SYSCTL", &folder).env("STATE", folder.join("state"));
        let output = command.output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, printed) = tune(&["40000"]);
    assert_eq!((code, value("fs/nr_open").as_str()), (Some(0), "1000\n"), "{printed}");
    assert!(printed.contains("fs.nr_open = 50000\nnet.core.somaxconn = 4096\n"), "{printed}");
    assert!(printed.contains("\nnet.netfilter.nf_conntrack_max = 40007\n"), "{printed}");
    assert_eq!(tune(&["40000", "--apply"]).0, Some(0));
    assert_eq!((value("fs/nr_open"), value("fs/file-max")), ("50000\n".into(), "500000\n".into()));
    assert_eq!(value("net/ipv4/ip_local_port_range"), "1024 65535\n");
    assert_eq!(tune(&["40000", "--apply"]).0, Some(1), "it would forget the old values");
    assert_eq!(tune(&["--undo"]).0, Some(0));
    assert_eq!(
        (value("fs/nr_open"), value("net/core/somaxconn")),
        ("1000\n".into(), "128\n".into())
    );
    assert_eq!(value("net/ipv4/ip_local_port_range"), "32768 60999\n");
    assert_eq!((tune(&["--undo"]).0, tune(&[]).0, tune(&["many"]).0), (Some(1), Some(2), Some(2)));
}

#[test]
fn check_counts_the_descriptors_of_the_lobby_as_the_server_does() {
    let (code, text) = check("1000:1000", &["-t", "2", "--proxy-protocol", "v2"]);
    assert!(code == Some(0) && text.starts_with("960 connections\n"), "{text}");
}
