//! A running server, seen from outside: its socket, `/proc`, its signals.

use std::cell::RefCell;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, kill_process_group, setpriority_process};

use crate::clients::blocking;
use crate::harness::groups::Groups;

/// A server that was started by its command line, with all its processes.
pub(crate) struct Server {
    child: RefCell<Child>,
    groups: Groups,
    pub(crate) address: SocketAddr,
}

/// How long anything may take before it counts as a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The nice value of threads that should not wait for a CPU.
pub(crate) const HIGH_PRIORITY: i32 = -10;

impl Server {
    pub(crate) fn new(child: Child, groups: Groups, address: SocketAddr) -> Server {
        Server { child: RefCell::new(child), groups, address }
    }

    pub(crate) fn wait_until_it_listens(&self) -> Result<()> {
        eventually("the server listens", || {
            if let Some(status) = self.status()? {
                bail!("it ended as it started: {status}");
            }
            Ok(TcpStream::connect(self.address).is_ok())
        })
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child.borrow())
    }

    /// How it ended, if it has.
    pub(crate) fn status(&self) -> Result<Option<ExitStatus>> {
        Ok(self.child.borrow_mut().try_wait()?)
    }

    /// Asserts that it runs, and answers a new client.
    pub(crate) fn must_be_alive(&self) -> Result<()> {
        if let Some(status) = self.status()? {
            bail!("it has ended: {status}");
        }
        let mut stream = self.connect().context("it accepts no connection")?;
        blocking::ping(&mut stream).context("it does not answer")
    }

    /// The outcome of a row, or that the server has ended, which explains the rest.
    pub(crate) fn unless_it_has_ended<T>(&self, outcome: Result<T>) -> Result<T> {
        match (self.status()?, outcome) {
            (None, outcome) => outcome,
            (Some(status), Ok(_)) => bail!("it has ended: {status}"),
            (Some(status), Err(error)) => Err(error.context(format!("it has ended: {status}"))),
        }
    }

    /// A connection whose calls fail instead of blocking forever.
    pub(crate) fn connect(&self) -> Result<TcpStream> {
        blocking::connect(self.address)
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(self.pid(), signal)?)
    }

    /// As [`signal`](Server::signal), to the processes it has started as well.
    pub(crate) fn signal_all(&self, signal: Signal) -> Result<()> {
        Ok(kill_process_group(self.pid(), signal)?)
    }

    /// What its first process does: `T` is stopped.
    pub(crate) fn state(&self) -> Result<char> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.pid().as_raw_nonzero()))?;
        let state = text.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        state.context("no state in /proc")
    }

    /// Waits for its end. Returns how it ended and after how long.
    pub(crate) fn end_within(&self, limit: Duration) -> Result<(ExitStatus, Duration)> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.status()? {
                return Ok((status, began.elapsed()));
            }
            ensure!(began.elapsed() < limit, "it still runs after {limit:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Open descriptors of all its processes.
    pub(crate) fn descriptors(&self) -> usize {
        let open = |pid| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        self.processes().into_iter().map(open).sum()
    }

    /// Open descriptors once nothing is opened or closed any more: the same for a
    /// while, because nothing tells of the last close.
    pub(crate) fn descriptors_at_rest(&self) -> Result<usize> {
        let (mut count, mut same) = (self.descriptors(), 0);
        eventually("descriptors at rest", || {
            std::thread::sleep(Duration::from_millis(10));
            let now = self.descriptors();
            same = if now == count { same + 1 } else { 0 };
            count = now;
            Ok(same >= 10)
        })?;
        Ok(count)
    }

    /// Waits until it has `count` descriptors open, or fewer, and returns how many.
    pub(crate) fn descriptors_back_to(&self, count: usize) -> Result<usize> {
        let what = format!("descriptors back to {count}");
        eventually(&what, || Ok(self.descriptors() <= count))
            .with_context(|| format!("{} are open", self.descriptors()))?;
        Ok(self.descriptors())
    }

    /// Resident memory of all its processes, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        self.processes().into_iter().map(|pid| status_field(pid, "VmRSS:") * 1024).sum()
    }

    /// CPU time of all the threads that run now.
    pub(crate) fn cpu(&self) -> Duration {
        let threads = self.threads_of_all();
        let nanoseconds = |(pid, thread)| {
            let text = fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        };
        Duration::from_nanos(threads.filter_map(nanoseconds).sum())
    }

    /// The tracer of each of its threads, "0" for none.
    pub(crate) fn tracers(&self) -> Vec<String> {
        let tracer = |(pid, thread)| {
            let text = fs::read_to_string(format!("/proc/{pid}/task/{thread}/status")).ok()?;
            text.lines().find_map(|line| Some(line.strip_prefix("TracerPid:")?.trim().to_owned()))
        };
        self.threads_of_all().filter_map(tracer).collect()
    }

    /// Has its threads run before those of others on this machine, where that is allowed,
    /// so that what is measured is its own doing.
    pub(crate) fn run_first(&self) {
        for (_, thread) in self.threads_of_all() {
            let _ = setpriority_process(Pid::from_raw(thread), HIGH_PRIORITY);
        }
    }

    fn threads_of_all(&self) -> impl Iterator<Item = (i32, i32)> {
        self.processes().into_iter().flat_map(|pid| {
            numbers(&format!("/proc/{pid}/task")).into_iter().map(move |thread| (pid, thread))
        })
    }

    /// It and its descendants.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let mut all = vec![self.pid().as_raw_nonzero().get()];
        let mut next = 0;
        while let Some(&pid) = all.get(next) {
            all.extend(children(pid));
            next += 1;
        }
        all
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.groups.end(self.child.get_mut());
    }
}

/// Waits for a fact.
pub(crate) fn eventually(what: &str, fact: impl FnMut() -> Result<bool>) -> Result<()> {
    within(PATIENCE, what, fact).map(drop)
}

/// Waits for a fact, and returns how long that took.
pub(crate) fn within(
    limit: Duration,
    what: &str,
    mut fact: impl FnMut() -> Result<bool>,
) -> Result<Duration> {
    let began = Instant::now();
    while !fact()? {
        ensure!(began.elapsed() < limit, "timed out after {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(began.elapsed())
}

fn children(pid: i32) -> Vec<i32> {
    let of_thread = |thread| {
        fs::read_to_string(format!("/proc/{pid}/task/{thread}/children")).unwrap_or_default()
    };
    let text: String = numbers(&format!("/proc/{pid}/task")).into_iter().map(of_thread).collect();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// The entries of a folder of `/proc` that are numbers.
fn numbers(folder: &str) -> Vec<i32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn status_field(pid: i32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
