//! Programs whose calls fail.

use std::path::Path;
use std::process::Command;

use crate::strace::failing;

/// A command that starts the program so that these of its calls fail: `setsockopt` all of
/// them, `setsockopt:when=2` the second. `None` where calls cannot be made to fail, and a note
/// says so.
pub(crate) fn refuse(calls: &str, errno: &str, program: &str) -> Option<Command> {
    let (names, when) = calls.split_once(':').unwrap_or((calls, "when=1+"));
    let Some(words) = failing(names, errno, when, Path::new("/dev/null")) else {
        eprintln!("skipped: strace is missing or may not trace");
        return None;
    };
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg(program);
    Some(command)
}
