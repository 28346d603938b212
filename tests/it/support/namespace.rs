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
