//! A network or a view of the file system of one's own.

use std::process::Command;

use super::client::CLIENT;
use super::server::SERVER;

/// A command that runs a script of bash in a new namespace of this kind, after `setup`. In the
/// script, `$1` is the client and `$2` the server, and what is added to the command follows.
/// Where the kernel permits no such namespace it is `None`, and a note says so.
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

/// As [`in_namespace`], in a network with loopback alone.
pub(crate) fn in_network(setup: &str, script: &str) -> Option<Command> {
    in_namespace("--net", &format!("ip link set lo up\n{setup}"), script)
}

/// A command that runs `program` in the network of a process that [`in_network`] started.
pub(crate) fn beside(pid: u32, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    // Only in its user namespace may a user enter its network.
    command.args(["--preserve-credentials", "--user", "--net", "--target", &pid.to_string()]);
    command.arg(program);
    command
}
