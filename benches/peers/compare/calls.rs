//! Counts the system calls of an echo. strace slows a server down many times over, so this
//! is a run of its own, in which nothing is timed.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::child::until;
use crate::contender::Contender;
use crate::load::{self, Amount};
use crate::server::Server;
use crate::shape::Shape;
use crate::sys;
use crate::trouble::{Result, Trouble};

const OUTPUT: &str = "target/compare/strace";
/// Has the server be the process that is started, and strace one beside it.
const STRACE: [&str; 6] = ["strace", "-D", "-f", "-c", "-o", OUTPUT];
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether it is installed.
pub(crate) fn can_be_counted() -> bool {
    Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success())
}

/// System calls of an echo: of two runs of different length the difference, so that neither
/// starting nor connecting counts.
pub(crate) fn measure(contender: &Contender, shape: &Shape) -> Result<f64> {
    let (few, many) = messages(shape.group);
    let (calls, echoes) = count(contender, shape, few)?;
    let (more_calls, more_echoes) = count(contender, shape, many)?;
    Ok((more_calls - calls) / (more_echoes - echoes))
}

/// How many messages each connection sends, in the shorter and in the longer run.
fn messages(group: &str) -> (u64, u64) {
    match group {
        "B" => (100, 4100),
        "C" => (2, 12),
        "D" => (10, 160),
        "E" => (32, 1632),
        "F" => (2, 52),
        _ => (10, 310),
    }
}

/// Calls and echoes of one run.
fn count(contender: &Contender, shape: &Shape, messages: u64) -> Result<(f64, f64)> {
    let _ = fs::remove_file(OUTPUT);
    let mut server = Server::start_under(&STRACE, contender, shape)?;
    let tracer = Tracer::of(server.id());
    let results = load::run(&mut server, contender, shape, Amount::Messages(messages))?;
    server.stop();
    // It writes its table when the server has ended.
    let calls = until(PATIENCE, "strace says nothing", || {
        Ok(fs::read_to_string(OUTPUT).ok().and_then(|table| total(&table)))
    })?;
    drop(tracer);
    let echoes = results.get("messages").and_then(serde_json::Value::as_f64);
    let echoes = echoes.ok_or_else(|| Trouble::Failed("the client says no messages".to_owned()))?;
    Ok((calls, echoes))
}

/// The strace beside a server. It ends with it; this is for when it does not.
struct Tracer(Option<u32>);

impl Tracer {
    fn of(server: u32) -> Tracer {
        let status = fs::read_to_string(format!("/proc/{server}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
        Tracer(line.and_then(|line| line.trim().parse().ok()).filter(|&pid| pid > 0))
    }

    /// Whether that process is still strace, and not another with its number.
    fn is_there(&self) -> Option<u32> {
        let name = fs::read_to_string(format!("/proc/{}/comm", self.0?)).ok()?;
        if name.trim() == "strace" { self.0 } else { None }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let gone = || Ok(self.is_there().is_none().then_some(()));
        if until(Duration::from_secs(1), "no end", gone).is_err() {
            self.is_there().into_iter().for_each(sys::kill);
        }
    }
}

/// The sum of the calls in a table of strace.
fn total(table: &str) -> Option<f64> {
    let line = table.lines().rev().find(|line| line.trim_end().ends_with(" total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_with_and_without_errors() {
        let table = "100.00    0.006711           2      2752        12 total\n";
        assert_eq!(total(table), Some(2752.0));
        assert_eq!(
            total("100.00    0.006711           2      2752           total\n"),
            Some(2752.0)
        );
        assert_eq!(total("% time     seconds  usecs/call     calls    errors syscall\n"), None);
    }
}
