//! `strace` on a server that runs: makes its calls fail, or counts them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::bench::Bench;
use crate::harness::row::Skip;
use crate::harness::server::{Server, within};

/// A tracer at work. It lets go of the server when it is dropped.
pub(crate) struct Strace {
    child: Child,
    output: PathBuf,
}

/// What was made to fail.
pub(crate) struct Failures(Vec<SystemTime>);

/// How long a tracer may take to get hold of its server, or to let go of it.
const HOLD: Duration = Duration::from_secs(10);

/// How many calls were made to fail, by what was traced.
pub(crate) fn failed_calls(output: &Path) -> Result<usize> {
    let text = fs::read(output).context("strace has written nothing")?;
    Ok(String::from_utf8_lossy(&text).matches("(INJECTED)").count())
}

impl Strace {
    /// Makes the next calls of each thread fail, that many.
    pub(crate) fn inject(
        bench: &Bench,
        server: &Server,
        calls: &str,
        errno: &str,
        times: u32,
    ) -> Result<Strace> {
        let fault = format!("inject={calls}:error={errno}:when=1..{times}");
        Strace::attach(bench, server, &["-ttt", "-e", &format!("trace={calls}"), "-e", &fault])
    }

    /// Counts calls.
    pub(crate) fn count(bench: &Bench, server: &Server, calls: &str) -> Result<Strace> {
        Strace::attach(bench, server, &["-c", "-e", &format!("trace={calls}")])
    }

    fn attach(bench: &Bench, server: &Server, flags: &[&str]) -> Result<Strace> {
        bench.must_have("strace")?;
        let output = bench.folder.join("strace");
        let complaints = bench.folder.join("strace-complaints");
        let processes = server.processes();
        let child = Command::new("strace")
            .args(["-f", "-qq", "-o"])
            .arg(&output)
            .args(flags)
            .args(processes.iter().flat_map(|pid| ["-p".to_owned(), pid.to_string()]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&complaints)?)
            .spawn()?;
        let mut strace = Strace { child, output };
        strace.take_hold(server).map_err(|error| {
            let why = fs::read_to_string(complaints).unwrap_or_default();
            Skip(format!("strace cannot be used: {error:#} {}", why.trim()))
        })?;
        Ok(strace)
    }

    fn take_hold(&mut self, server: &Server) -> Result<()> {
        let tracer = self.child.id().to_string();
        within(HOLD, "it has hold of all threads", || {
            anyhow::ensure!(self.child.try_wait()?.is_none(), "it has ended");
            Ok(server.tracers().iter().all(|other| *other == tracer))
        })?;
        Ok(())
    }

    fn let_go(&mut self) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        // It may have ended with the server.
        let _ = kill_process(pid, Signal::INT);
        let began = Instant::now();
        while self.child.try_wait()?.is_none() {
            if began.elapsed() > HOLD {
                self.child.kill()?;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Lets go, and returns the calls that it made fail.
    pub(crate) fn failures(mut self) -> Result<Failures> {
        self.let_go()?;
        let text = fs::read(&self.output).context("strace has written nothing")?;
        let text = String::from_utf8_lossy(&text);
        let failed = text.lines().filter(|line| line.ends_with("(INJECTED)"));
        Ok(Failures(failed.filter_map(moment).collect()))
    }

    /// Lets go, and returns how many calls there were.
    pub(crate) fn calls(mut self) -> Result<u64> {
        self.let_go()?;
        let text = fs::read_to_string(&self.output)?;
        total(&text).with_context(|| format!("strace's summary is not understood: {text:?}"))
    }
}

/// Where the summary has its number of calls: below the heading, to the right, because
/// not all versions have the same columns. It is empty if there were none.
///
/// ```text
/// % time     seconds  usecs/call     calls    errors syscall
/// 100.00    0.000004           2         2         1 total
/// ```
fn total(summary: &str) -> Option<u64> {
    if summary.trim().is_empty() {
        return Some(0);
    }
    let (before, _) = summary.lines().find_map(|line| line.split_once(" calls"))?;
    let total = summary.lines().find(|line| line.ends_with(" total"))?;
    let upto = total.get(..before.len() + " calls".len())?;
    upto.split_whitespace().last()?.parse().ok()
}

impl Drop for Strace {
    fn drop(&mut self) {
        let _ = self.let_go();
    }
}

impl Failures {
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The last one before that moment.
    pub(crate) fn last_before(&self, end: SystemTime) -> Option<SystemTime> {
        self.0.iter().copied().filter(|&moment| moment <= end).max()
    }
}

/// "1234 1795362594.893903 accept4(...": when that was.
fn moment(line: &str) -> Option<SystemTime> {
    let seconds: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(UNIX_EPOCH + Duration::from_secs_f64(seconds))
}
