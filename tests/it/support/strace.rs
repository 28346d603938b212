//! Programs whose calls fail, as in a sandbox or on another kernel.

use std::process::{Command, Stdio};

/// A command that starts the program so that these of its calls fail: `setsockopt` all of
/// them, `setsockopt:when=2` the second. `None` if `strace` is missing or may not trace.
pub(crate) fn refuse(calls: &str, errno: &str, program: &str) -> Option<Command> {
    let (names, when) = calls.split_once(':').unwrap_or((calls, "when=1+"));
    let fault = format!("inject={names}:error={errno}:{when}");
    let traced = |program: &str| {
        let mut command = Command::new("strace");
        // With -D the program has the process id of this command, and its signals.
        command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={names}")]);
        command.args(["-e", &fault, program]);
        command
    };
    let works = traced("true").stdin(Stdio::null()).stderr(Stdio::null()).status();
    if works.is_ok_and(|status| status.success()) {
        return Some(traced(program));
    }
    eprintln!("skipped: strace is missing or may not trace");
    None
}
