//! Processes in a network, and with files, of their own.

use std::process::Command;

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
