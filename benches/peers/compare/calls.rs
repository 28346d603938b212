//! Counts the system calls per echo, in a run of its own in which nothing is timed: perf has
//! the kernel count them, which costs a tenth of a microsecond per call. (strace stops the
//! server twice per call, and then the next message has always arrived already.)

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::child::{Process, until};
use crate::contender::Contender;
use crate::load::{self, Amount};
use crate::seeds;
use crate::server::Server;
use crate::shape::{Shape, Work};
use crate::target;
use crate::trouble::{Result, Trouble, failed};

/// The file that perf writes to.
const OUTPUT: &str = "calls";
const EVENT: &str = "raw_syscalls:sys_enter";
const PATIENCE: Duration = Duration::from_secs(10);

/// Returns whether perf is installed and the kernel allows counting.
pub(crate) fn can_be_counted() -> bool {
    let mut perf = Command::new("perf");
    perf.args(["stat", "-e", EVENT, "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    perf.status().is_ok_and(|status| status.success())
}

/// System calls per echo: the difference of two runs of different length, so that connecting
/// does not count. The programs are in `folder`.
pub(crate) fn measure(contender: &Contender, shape: &Shape, folder: &Path) -> Result<f64> {
    let (few, many) = messages(shape.group);
    let (calls, echoes) = count(contender, shape, folder, few)?;
    let (more_calls, more_echoes) = count(contender, shape, folder, many)?;
    Ok((more_calls - calls) / (more_echoes - echoes))
}

/// Messages per connection, in the shorter and in the longer run.
fn messages(group: &str) -> (u64, u64) {
    match group {
        "B" => (100, 20_100),
        "C" => (20, 220),
        "E" => (320, 32_320),
        "F" => (20, 520),
        _ => (100, 5_100),
    }
}

/// Calls and echoes of one run.
fn count(contender: &Contender, shape: &Shape, folder: &Path, messages: u64) -> Result<(f64, f64)> {
    let mut server = Server::start(contender, shape)?;
    let counter = Counter::start(server.id())?;
    let echoes = match shape.work {
        Work::Seeds => seeds::run(folder, server.port, messages)?.echoes(),
        _ => echoes(&load::run(&mut server, contender, shape, Amount::Messages(messages))?)?,
    };
    Ok((counter.stop()?, echoes))
}

fn echoes(results: &Value) -> Result<f64> {
    let echoes = results.get("messages").and_then(Value::as_f64);
    echoes.ok_or_else(|| Trouble::Failed("the client's results have no messages".to_owned()))
}

/// A perf that counts the calls of a server, in all threads it has or starts.
struct Counter(Process);

impl Counter {
    fn start(server: u32) -> Result<Counter> {
        let mut perf = Command::new("perf");
        perf.args(["stat", "-x", ",", "-e", EVENT, "-o", &target::output(OUTPUT)])
            .args(["-p", &server.to_string()]);
        let mut counter = Counter(Process::start(perf.stderr(Stdio::null()), None)?);
        until(PATIENCE, "perf does not count", || counter.counts(server))?;
        Ok(counter)
    }

    /// Returns `Some` once it counts: then it holds a descriptor for each thread of the server.
    fn counts(&mut self, server: u32) -> Result<Option<()>> {
        if let Some(status) = self.0.ended()? {
            return failed(format!("perf ended on its own ({status})"));
        }
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.0.id()))?;
        let targets = descriptors.filter_map(|it| fs::read_link(it.ok()?.path()).ok());
        let counted = targets.filter(|it| it.as_os_str() == "anon_inode:[perf_event]").count();
        let threads = fs::read_dir(format!("/proc/{server}/task"))?.count();
        Ok((counted >= threads).then_some(()))
    }

    /// Ends it and returns the number of calls.
    fn stop(mut self) -> Result<f64> {
        self.0.interrupt();
        self.0.wait(PATIENCE)?;
        let counted = fs::read_to_string(target::output(OUTPUT))?;
        total(&counted).ok_or_else(|| Trouble::Failed(format!("perf has no count: {counted:?}")))
    }
}

/// The count, of lines such as `30018,,raw_syscalls:sys_enter,204811,100.00,,`.
fn total(lines: &str) -> Option<f64> {
    lines.lines().find(|line| line.contains(EVENT))?.split(',').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_and_a_line_without_one_is_none() {
        let lines =
            "# started on Sun Nov 22 12:00:00 2026\n\n30018,,raw_syscalls:sys_enter,1,100.00,,\n";
        assert_eq!(total(lines), Some(30018.0));
        assert_eq!(total("<not counted>,,raw_syscalls:sys_enter,0,100.00,,\n"), None);
        assert_eq!(total(""), None);
    }
}
