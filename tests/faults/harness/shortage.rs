//! A server without descriptors, and what it does about it.

use std::fmt;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::clients::blocking::{Answer, begin_to_connect, try_ping};
use crate::harness::bench::Bench;
use crate::harness::row::Skip;
use crate::harness::server::Server;
use crate::harness::strace::Strace;

/// Leaves a server no descriptor beside those it has open, until it is dropped.
pub(crate) struct Shortage {
    began: Instant,
    before: Vec<(Pid, Rlimit)>,
}

impl Shortage {
    pub(crate) fn make(server: &Server) -> Result<Shortage> {
        let mut shortage = Shortage { began: Instant::now(), before: Vec::new() };
        for pid in server.processes() {
            let free = |fd: &u64| !Path::new(&format!("/proc/{pid}/fd/{fd}")).exists();
            let lowest_free = (0..).find(free);
            let before = limit(pid).context("its limit of descriptors is unknown")?;
            let pid = Pid::from_raw(pid).context("a process without a number")?;
            let now = Rlimit { current: lowest_free, ..before };
            prlimit(Some(pid), Resource::Nofile, now)
                .map_err(|error| Skip(format!("its limit of descriptors stays: {error}")))?;
            shortage.before.push((pid, before));
        }
        Ok(shortage)
    }
}

impl Drop for Shortage {
    fn drop(&mut self) {
        for (pid, before) in self.before.drain(..) {
            // It may have ended.
            let _ = prlimit(Some(pid), Resource::Nofile, before);
        }
    }
}

/// "Max open files            1024                 4096                 files"
fn limit(pid: i32) -> Option<Rlimit> {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut limits = line.split_whitespace().map(|word| word.parse().ok());
    Some(Rlimit { current: limits.next()?, maximum: limits.next()? })
}

/// How late a busy machine may make the answer to a connection that was accepted.
const LATE: Duration = Duration::from_millis(1500);

/// The first connection that waits to be accepted. Those that a thread had reserved a
/// descriptor for were accepted, and are kept so that it stays in use.
pub(crate) fn first_in_line(server: &Server) -> Result<(TcpStream, Vec<TcpStream>)> {
    let mut accepted = Vec::new();
    while accepted.len() < 100 {
        let mut stream = server.connect()?;
        match try_ping(&mut stream, LATE)? {
            Answer::Silence => return Ok((stream, accepted)),
            _ => accepted.push(stream),
        }
    }
    Err(Skip("it needs no descriptor for a connection".into()).into())
}

/// Connects without end, 500 times per second, in a thread of its own.
pub(crate) struct Flood {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    pub(crate) fn start(address: SocketAddr) -> Flood {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut streams = std::collections::VecDeque::new();
            while !stopped.load(Relaxed) {
                // It may fail.
                streams.extend((0..5).filter_map(|_| begin_to_connect(address).ok()));
                streams.drain(..streams.len().saturating_sub(1000));
                thread::sleep(Duration::from_millis(10));
            }
        });
        Flood { stop, thread: Some(thread) }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

/// What it does during the shortage.
pub(crate) struct Conduct {
    /// Calls of accept per second, where they can be counted.
    tries: Result<f64>,
    /// Of a CPU.
    share: f64,
    /// Lines of its log per second.
    lines: f64,
    /// Lines of its log that tell of the shortage, where it is ours.
    told: usize,
    /// How long there has been a shortage.
    lasted: Duration,
    /// The rate of one event in the time that was watched.
    one: f64,
}

const TRIES: f64 = 20.0;
const SHARE: f64 = 0.02;
const LINES: f64 = 1.0;
/// Ours tells of a shortage when it begins and whenever one of these has passed.
const MINUTE: Duration = Duration::from_secs(60);

impl Conduct {
    /// Watches it for twice that time. The tracer, which counts its tries, costs it CPU,
    /// so CPU time is measured first.
    pub(crate) fn watch(
        bench: &Bench,
        server: &Server,
        shortage: &Shortage,
        log: &Path,
        half: Duration,
    ) -> Result<Conduct> {
        let (began, logged) = (Instant::now(), lines(log, ""));
        let cpu = server.cpu();
        thread::sleep(half);
        let share = (server.cpu() - cpu).as_secs_f64() / began.elapsed().as_secs_f64();
        let tries = tries(bench, server, half);
        let told = lines(log, " accept");
        let lines = (lines(log, "") - logged) as f64 / began.elapsed().as_secs_f64();
        let lasted = shortage.began.elapsed();
        Ok(Conduct { tries, share, lines, told, lasted, one: 1.0 / half.as_secs_f64() })
    }

    pub(crate) fn must_hold(&self, bench: &Bench) -> Result<()> {
        let tries = self.tries.as_ref().copied().unwrap_or_default();
        // One at each edge of the time that was watched.
        ensure!(tries <= TRIES + 2.0 * self.one, "it tries too often");
        ensure!(self.share <= SHARE, "it is too busy");
        let lines = if bench.is_ours() { self.lines } else { 0.0 };
        ensure!(lines <= LINES + self.one, "it logs too much");
        let due = 1 + (self.lasted.as_secs() / MINUTE.as_secs()) as usize;
        ensure!(!bench.is_ours() || self.told <= due, "its log has {} lines of it", self.told);
        Ok(())
    }
}

fn tries(bench: &Bench, server: &Server, time: Duration) -> Result<f64> {
    let strace = Strace::count(bench, server, "accept,accept4")?;
    let began = Instant::now();
    thread::sleep(time);
    let time = began.elapsed();
    Ok(strace.calls()? as f64 / time.as_secs_f64())
}

/// How many lines of a log have this text.
fn lines(log: &Path, text: &str) -> usize {
    let log = fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&log).lines().filter(|line| line.contains(text)).count()
}

impl fmt::Display for Conduct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tries {
            Ok(tries) => write!(f, "{tries:.1} accept tries")?,
            Err(why) => write!(f, "(accept tries not counted: {why:#})")?,
        }
        let percent = 100.0 * self.share;
        write!(f, " and {:.1} log lines per second, {percent:.2} % of a CPU", self.lines)
    }
}
