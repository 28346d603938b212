//! Programs whose calls fail from their start on, as in a sandbox or on another kernel.

use std::path::Path;
use std::process::Command;

/// The words in front of a command line so that these of its calls fail: `when=2` is the second
/// one of each thread, `when=1+` are all. The trace is written to `output`. `None` if `strace`
/// is missing or may not trace.
pub(crate) fn failing(calls: &str, errno: &str, when: &str, output: &Path) -> Option<Vec<String>> {
    let fault = format!("inject={calls}:error={errno}:{when}");
    let (output, trace) = (output.display().to_string(), format!("trace={calls}"));
    // With -D the program has the process id of the command, and its signals.
    let words = ["strace", "-D", "-f", "-qq", "-o", &output, "-e", &trace, "-e", &fault];
    let traced = Command::new(words[0]).args(&words[1..]).arg("true").output();
    let works = traced.is_ok_and(|traced| traced.status.success());
    works.then(|| words.map(str::to_owned).to_vec())
}
