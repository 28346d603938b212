//! A network or a view of the file system of one's own.

use std::process::Command;

use super::client::CLIENT;
use super::server::SERVER;

/// A command that runs a script of bash in a new namespace of this kind, after `setup`. In the
/// script, `$1` is the client and `$2` the server. Where the kernel permits no namespaces it
/// is `None`, and a note says so.
pub(crate) fn in_namespace(kind: &str, setup: &str, script: &str) -> Option<Command> {
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", kind, "bash", "-ec", &format!("{setup}\n{script}")]);
        command.args(["bash", CLIENT, SERVER]);
        command
    };
    let tried = unshare("exit").output();
    if tried.as_ref().is_ok_and(|output| output.status.success()) {
        return Some(unshare(script));
    }
    eprintln!("skipped: there is no namespace of this kind: {tried:?}");
    None
}

/// A network with loopback alone, on which the kernel chooses these ports for connections, and
/// uses one again that was in TIME_WAIT for a second.
pub(crate) fn in_network(ports: &str, script: &str) -> Option<Command> {
    let setup = format!(
        "ip link set lo up; cd /proc/sys/net/ipv4; echo {ports} >ip_local_port_range; \
         echo 2 >tcp_tw_reuse"
    );
    in_namespace("--net", &setup, script)
}

/// Returns whether tests may make namespaces. Where they may not, it prints why a test is
/// skipped.
pub(crate) fn is_possible() -> bool {
    let words = ["--net", "--mount", "ip", "link", "set", "lo", "up"];
    let made = Command::new("unshare").args(words).output();
    let is_possible = made.is_ok_and(|output| output.status.success());
    if !is_possible {
        eprintln!("skipped: unshare and ip need root");
    }
    is_possible
}

/// A command that runs `program` in a network namespace of its own, which has `lo` alone until
/// a shell has run `setup` there.
pub(crate) fn isolated(setup: &str, program: &str, words: &[&str]) -> Command {
    after("--net", &format!("ip link set lo up\n{setup}"), program, words)
}

/// A command that runs `program` in a mount namespace of its own, where a shell has mounted
/// other files.
pub(crate) fn with_files(mounts: &str, program: &str, words: &[&str]) -> Command {
    after("--mount", mounts, program, words)
}

fn after(namespace: &str, setup: &str, program: &str, words: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    let line = format!("set -e\n{setup}\nexec \"$0\" \"$@\"");
    command.args([namespace, "sh", "-c", &line, program]).args(words);
    command
}

/// A command that runs `program` in the network namespace of a process.
pub(crate) fn beside(pid: u32, program: &str, words: &[&str]) -> Command {
    let mut command = Command::new("nsenter");
    command.args([&format!("--net=/proc/{pid}/ns/net"), program]).args(words);
    command
}
