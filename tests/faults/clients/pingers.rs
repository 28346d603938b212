//! Honest clients, and how long they wait for replies.

use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reactor_server::parts::{Event, Interest};
use rustix::process::setpriority_process;
use rustix::thread::gettid;

use crate::clients::blocking;
use crate::clients::keyed_stream;
use crate::clients::pool::{Client, Next, Pool, unless_blocked};
use crate::harness::server::{HIGH_PRIORITY, PATIENCE};

/// Clients that send a ping, wait for the reply, rest and begin again, in a thread of
/// their own, while a fault is put to the server.
pub(crate) struct Pingers {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Latencies>>>,
}

/// How long each reply took.
#[derive(Default)]
pub(crate) struct Latencies(Vec<Duration>);

struct Pinger {
    stream: TcpStream,
    ping: [u8; PING],
    state: State,
    rest: Duration,
    latencies: Vec<Duration>,
}

enum State {
    Rests { until: Instant },
    Waits { since: Instant, received: usize },
}

/// The bytes of a ping: a length and that many bytes, which a server with lengths and one
/// without answer with the same.
const PING: usize = 16;

impl Pingers {
    /// When it returns they are connected, and each got one reply.
    pub(crate) fn start(address: SocketAddr, count: usize, rest: Duration) -> Result<Pingers> {
        let mut pool = Pool::new()?;
        for number in 0..count {
            let first = rest.mul_f64(number as f64 / count as f64);
            let pinger = Pinger::connect(address, number as u64, first, rest);
            pool.add(pinger.with_context(|| format!("honest client {number} of {count}"))?)?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        Ok(Pingers { stop, thread: Some(thread::spawn(move || run(pool, &stopped))) })
    }

    /// Waits for the replies that are still due, and returns how long all of them took.
    pub(crate) fn finish(mut self) -> Result<Latencies> {
        self.stop.store(true, Relaxed);
        let thread = self.thread.take().expect("it is joined once");
        let latencies = thread.join().expect("no panic").context("an honest client")?;
        ensure!(!latencies.0.is_empty(), "no honest client got a reply meanwhile");
        Ok(latencies)
    }
}

impl Drop for Pingers {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

fn run(mut pool: Pool<Pinger>, stop: &AtomicBool) -> Result<Latencies> {
    // Waiting for a CPU is not waiting for a reply. It may not be allowed.
    let _ = setpriority_process(Some(gettid()), HIGH_PRIORITY);
    while !stop.load(Relaxed) {
        let now = Instant::now();
        let mut next = now + Duration::from_millis(20);
        pool.each(|pinger| {
            next = next.min(pinger.ping_if_due(now)?.unwrap_or(next));
            Ok(Next::Continue)
        })?;
        pool.turn(next.saturating_duration_since(Instant::now()))?;
    }
    let (mut latencies, stopped) = (Latencies::default(), Instant::now());
    loop {
        for pinger in pool.each(|pinger| Ok(pinger.done_if_resting()))? {
            latencies.0.extend(pinger.latencies);
        }
        if pool.len() == 0 {
            return Ok(latencies);
        }
        ensure!(stopped.elapsed() < PATIENCE, "no reply for {PATIENCE:?}");
        pool.turn(Duration::from_millis(20))?;
    }
}

impl Pinger {
    fn connect(address: SocketAddr, key: u64, first: Duration, rest: Duration) -> Result<Pinger> {
        let mut stream = blocking::connect(address)?;
        let mut ping = [0; PING];
        let (length, body) = ping.split_at_mut(4);
        length.copy_from_slice(&(body.len() as u32).to_le_bytes());
        keyed_stream::fill(key, 0, body);
        blocking::echo(&mut stream, &ping)?;
        let state = State::Rests { until: Instant::now() + first };
        Ok(Pinger { stream, ping, state, rest, latencies: Vec::new() })
    }

    /// Sends the ping if it has rested. Returns when it will have.
    fn ping_if_due(&mut self, now: Instant) -> Result<Option<Instant>> {
        match self.state {
            State::Rests { until } if until <= now => {
                let sent = unless_blocked(self.stream.write(&self.ping))?;
                ensure!(sent == Some(PING), "no room for {PING} bytes");
                self.state = State::Waits { since: now, received: 0 };
                Ok(None)
            }
            State::Rests { until } => Ok(Some(until)),
            State::Waits { .. } => Ok(None),
        }
    }

    fn done_if_resting(&self) -> Next {
        if matches!(self.state, State::Rests { .. }) { Next::Done } else { Next::Continue }
    }
}

impl Client for Pinger {
    fn socket(&self) -> &TcpStream {
        &self.stream
    }

    fn interest(&self) -> Interest {
        Interest::READABLE
    }

    fn ready(&mut self, _: Event, scratch: &mut [u8]) -> Result<Next> {
        let Some(count) = unless_blocked(self.stream.read(scratch))? else {
            return Ok(Next::Continue);
        };
        ensure!(count > 0, "its connection was closed");
        let State::Waits { since, received } = &mut self.state else {
            anyhow::bail!("{count} bytes came without a ping");
        };
        let due = &self.ping[*received..];
        ensure!(due.starts_with(&scratch[..count]), "the reply differs from the ping");
        *received += count;
        if *received == PING {
            self.latencies.push(since.elapsed());
            self.state = State::Rests { until: Instant::now() + self.rest };
        }
        Ok(Next::Continue)
    }
}

impl Latencies {
    /// 99 of 100 replies took no longer.
    pub(crate) fn p99(&self) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default()
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (count, worst) = (self.0.len(), self.0.iter().max().copied().unwrap_or_default());
        write!(f, "{count} pings p99 {:.1} ms, worst {:.1} ms", ms(self.p99()), ms(worst))
    }
}
