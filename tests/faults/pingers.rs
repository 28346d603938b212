//! Honest clients, and how long they have to wait.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reactor_server::{Event, Interest, Token};
use rustix::process::setpriority_process;
use rustix::thread::gettid;

use crate::client::{self, fill};
use crate::herd::{Herd, Member};
use crate::server::{FIRST, PATIENCE};

/// Clients that ask, wait for the answer, rest and ask again, in a thread of their
/// own, while something is done to the server.
pub struct Pingers {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Latencies>>>,
}

/// How long each answer took.
#[derive(Default)]
pub struct Latencies(Vec<Duration>);

struct Pinger {
    question: [u8; QUESTION],
    /// How much of it has come back.
    answered: usize,
    asked: Instant,
}

/// The bytes of a question: a length and that many bytes, to which both a server that
/// expects lengths and one that does not will answer with the same.
const QUESTION: usize = 16;

impl Pingers {
    /// When it returns they are connected, and each was answered once.
    pub fn start(address: SocketAddr, count: usize, rest: Duration) -> Result<Pingers> {
        let mut table = Table::new(rest)?;
        for number in 0..count {
            let wait = rest.mul_f64(number as f64 / count as f64);
            table
                .seat(address, number as u64, wait)
                .with_context(|| format!("honest client {number} of {count}"))?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        Ok(Pingers { stop, thread: Some(thread::spawn(move || table.run(&stopped))) })
    }

    /// Waits for the answers that are still to come, and says how long all took.
    pub fn finish(mut self) -> Result<Latencies> {
        self.stop.store(true, Relaxed);
        let thread = self.thread.take().expect("it is joined once");
        let latencies = thread.join().expect("no panic").context("an honest client")?;
        ensure!(!latencies.0.is_empty(), "no honest client was answered meanwhile");
        Ok(latencies)
    }
}

impl Drop for Pingers {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

struct Table {
    herd: Herd<Pinger>,
    /// Who asks next, and when, soonest first.
    resting: VecDeque<(Instant, Token)>,
    rest: Duration,
    latencies: Latencies,
}

impl Table {
    fn new(rest: Duration) -> Result<Table> {
        let (resting, latencies) = Default::default();
        Ok(Table { herd: Herd::new()?, resting, rest, latencies })
    }

    fn seat(&mut self, address: SocketAddr, key: u64, wait: Duration) -> Result<()> {
        let mut stream = client::connect(address)?;
        let question = question(key);
        client::echo(&mut stream, &question)?;
        let asked = Instant::now();
        let pinger = Pinger { question, answered: 0, asked };
        let token = self.herd.join(stream, pinger, Interest::READABLE)?;
        self.resting.push_back((asked + wait, token));
        Ok(())
    }

    fn run(mut self, stop: &AtomicBool) -> Result<Latencies> {
        // Waiting for a core is not waiting for an answer. It may not be allowed.
        let _ = setpriority_process(Some(gettid()), FIRST);
        let mut stopped = None;
        while self.resting.len() < self.herd.len() || stopped.is_none() {
            if stop.load(Relaxed) {
                let since: &mut Instant = stopped.get_or_insert_with(Instant::now);
                ensure!(since.elapsed() < PATIENCE, "no answer for {PATIENCE:?}");
            } else {
                self.ask_all_who_have_rested()?;
            }
            self.listen()?;
        }
        Ok(self.latencies)
    }

    fn ask_all_who_have_rested(&mut self) -> Result<()> {
        let now = Instant::now();
        while self.resting.front().is_some_and(|(due, _)| *due <= now) {
            let (_, token) = self.resting.pop_front().expect("the front");
            let member = self.herd.member(token).expect("nobody leaves");
            ask(member, now)?;
        }
        Ok(())
    }

    fn listen(&mut self) -> Result<()> {
        let Table { herd, resting, rest, latencies } = self;
        let due = resting
            .front()
            .map_or(Duration::MAX, |(due, _)| due.saturating_duration_since(Instant::now()));
        herd.visit(due.min(Duration::from_millis(20)), |member, event: Event| {
            if answered(member)? {
                latencies.0.push(member.state.asked.elapsed());
                resting.push_back((Instant::now() + *rest, event.token()));
            }
            Ok(Some(Interest::READABLE))
        })
    }
}

/// One that nobody else asks.
fn question(key: u64) -> [u8; QUESTION] {
    let mut question = [0; QUESTION];
    let (length, body) = question.split_at_mut(4);
    length.copy_from_slice(&(body.len() as u32).to_le_bytes());
    fill(key, 0, body);
    question
}

fn ask(member: &mut Member<Pinger>, now: Instant) -> Result<()> {
    let question = member.state.question;
    ensure!(member.write(&question)? == QUESTION, "no room for {QUESTION} bytes");
    (member.state.answered, member.state.asked) = (0, now);
    Ok(())
}

/// Whether the whole answer has come.
fn answered(member: &mut Member<Pinger>) -> Result<bool> {
    let mut answer = [0; QUESTION + 1];
    let Some(count) = member.read(&mut answer)? else { return Ok(false) };
    ensure!(count > 0, "its connection was closed");
    let Pinger { question, answered, .. } = &mut member.state;
    let rest = &question[*answered..];
    ensure!(rest.starts_with(&answer[..count]), "the answer differs from the question");
    *answered += count;
    Ok(*answered == QUESTION)
}

impl Latencies {
    /// What 99 of 100 were not above.
    pub fn p99(&self) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default()
    }

    pub fn worst(&self) -> Duration {
        self.0.iter().max().copied().unwrap_or_default()
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            f,
            "{} pings p99 {:.1} ms, worst {:.1} ms",
            self.0.len(),
            ms(self.p99()),
            ms(self.worst())
        )
    }
}
