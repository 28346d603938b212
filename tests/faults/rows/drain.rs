//! Faults of the end: a drain under load.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use crate::clients::hose::Hose;
use crate::clients::keyed_stream::fill;
use crate::clients::pool::{Next, Pool};
use crate::harness::bench::Bench;
use crate::harness::row::Row;
use crate::harness::server::Server;
use crate::harness::tcp_table;

pub(crate) const ROWS: &[Row] =
    &[Row { id: "F27", fault: "SIGTERM under load", long: false, run: drained }];

/// How long a drain may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long nothing at all can be written before all is full.
const FULL: Duration = Duration::from_millis(200);
/// How late the clients begin to read in some rounds: a server that closes before all bytes
/// are read resets the connection, and its replies are lost.
const LATE: Duration = Duration::from_millis(1_200);
/// So long that a lost byte shifts what follows, and no multiple of any buffer.
const NOISE: usize = 1_000_003;

/// The outcome of one drain.
#[derive(Debug, Default)]
struct Outcome {
    /// Sent before the signal; nothing was read.
    in_flight: u64,
    /// The part of it that the server's side had acknowledged.
    acked: u64,
    /// The part of that which never came back.
    lost: u64,
    /// Connections that ended otherwise than with a FIN, before all that or after.
    reset: usize,
    reset_late: usize,
    open: usize,
    took: Duration,
}

fn drained(bench: &Bench) -> Result<String> {
    let (rounds, connections) = bench.measure((3, 50), (200, 1_000));
    let (bytes, late): (u64, usize) = bench.measure((16 << 20, 3), (1 << 30, 10));
    let mut noise = vec![0; NOISE];
    fill(27, 0, &mut noise);
    let noise: Rc<[u8]> = noise.into();
    let mut outcomes = Vec::new();
    for round in 0..rounds {
        let workers = if round % 2 == 0 { "0" } else { "2" };
        let flags = ["--drain-timeout", "10s", "--workers", workers];
        let server = bench.server().flags(&flags).output(Stdio::null(), Stdio::null()).start()?;
        let pause = if (round + 1) % late == 0 { LATE } else { Duration::ZERO };
        let outcome = drain(&server, &noise, connections, bytes / connections as u64, pause);
        outcomes.push(outcome.with_context(|| format!("drain {} of {rounds}", round + 1))?);
    }
    Ok(figure(connections, &outcomes))
}

fn figure(connections: usize, outcomes: &[Outcome]) -> String {
    let least = outcomes.iter().map(|outcome| outcome.in_flight).min().unwrap_or(0);
    let acked: u64 = outcomes.iter().map(|outcome| outcome.acked).sum();
    let late: usize = outcomes.iter().map(|outcome| outcome.reset_late).sum();
    let all = connections * outcomes.len();
    let slowest = outcomes.iter().map(|outcome| outcome.took).max().unwrap_or_default();
    format!(
        "{} times with {:.0} MiB and more in flight on {connections} connections: all {:.0} MiB \
         acknowledged before the signal came back, then a FIN (a RST to {late} of {all} connections); \
         exit 0 after {slowest:.2?} at most",
        outcomes.len(),
        mebibytes(least),
        mebibytes(acked),
    )
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// One drain, from the first connection to the exit code.
fn drain(
    server: &Server,
    noise: &Rc<[u8]>,
    connections: usize,
    each: u64,
    pause: Duration,
) -> Result<Outcome> {
    let mut pool = Pool::new()?;
    for number in 0..connections {
        pool.add(Hose::new(server.connect()?, Rc::clone(noise), number, each)?)?;
    }
    pour(&mut pool)?;
    pool.each(Hose::half_close)?;
    let mut outcome = owed(&mut pool, server.address)?;
    let mut end = End::of(server)?;
    pool.each(Hose::send_on)?;
    for hose in ends(&mut pool, &mut end, pause)? {
        let all_back = hose.received >= hose.acked;
        outcome.lost += hose.acked.saturating_sub(hose.received);
        outcome.reset += usize::from(hose.broken && !all_back);
        outcome.reset_late += usize::from(hose.broken && all_back);
    }
    outcome.open = pool.len();
    let (status, took) = end.wait()?;
    outcome.took = took;
    outcome.judge(status)
}

/// What the server's side has acknowledged by now.
fn owed(pool: &mut Pool<Hose>, server: SocketAddr) -> Result<Outcome> {
    let entries = tcp_table::connected_to(server.port())?.into_iter();
    let unacked: HashMap<u16, u64> =
        entries.map(|entry| (entry.port, entry.unacknowledged)).collect();
    let mut outcome = Outcome::default();
    pool.each(|hose| {
        // A connection that is not listed is lost.
        let unacked = unacked.get(&hose.port()?).map_or(hose.sent, |&bytes| bytes.min(hose.sent));
        hose.acked = hose.sent - unacked;
        outcome.in_flight += hose.sent;
        outcome.acked += hose.acked;
        Ok(Next::Continue)
    })?;
    Ok(outcome)
}

/// The end of a server, from the signal on.
struct End<'a> {
    server: &'a Server,
    signalled: Instant,
    seen: Option<(ExitStatus, Duration)>,
}

impl End<'_> {
    fn of(server: &Server) -> Result<End<'_>> {
        server.signal(Signal::TERM)?;
        Ok(End { server, signalled: Instant::now(), seen: None })
    }

    fn look(&mut self) -> Result<()> {
        if self.seen.is_none() {
            self.seen = self.server.status()?.map(|status| (status, self.signalled.elapsed()));
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<(ExitStatus, Duration)> {
        while self.seen.is_none() && self.signalled.elapsed() < 2 * DEADLINE {
            std::thread::sleep(Duration::from_millis(1));
            self.look()?;
        }
        self.seen.context("it still runs at twice the deadline")
    }
}

/// Sends until each has sent its share, or all is full.
fn pour(pool: &mut Pool<Hose>) -> Result<()> {
    let (mut sent, mut since) = (0, Instant::now());
    while since.elapsed() < FULL {
        let ended = pool.turn(Duration::from_millis(20))?.len();
        ensure!(ended == 0, "{ended} connections failed before the signal");
        let (mut now, mut wanted) = (0, 0);
        pool.each(|hose| {
            (now, wanted) = (now + hose.sent, wanted + hose.share);
            Ok(Next::Continue)
        })?;
        if now == wanted {
            return Ok(());
        }
        if now > sent {
            (sent, since) = (now, Instant::now());
        }
    }
    Ok(())
}

/// Reads from all to the end after a pause, and returns those that ended in time. Checks
/// the server now and then.
fn ends(pool: &mut Pool<Hose>, end: &mut End<'_>, pause: Duration) -> Result<Vec<Hose>> {
    let mut ended = Vec::new();
    while end.signalled.elapsed() < pause {
        ended.extend(pool.turn(pause.saturating_sub(end.signalled.elapsed()))?);
    }
    pool.each(Hose::read_on)?;
    while pool.len() > 0 && end.signalled.elapsed() < DEADLINE + Duration::from_secs(2) {
        ended.extend(pool.turn(Duration::from_millis(10))?);
        end.look()?;
    }
    Ok(ended)
}

impl Outcome {
    /// A client that keeps sending, and does not read for a second, may be reset once it
    /// has all its replies. That is counted, and costs it no byte.
    fn judge(self, status: ExitStatus) -> Result<Outcome> {
        let Outcome { acked, lost, reset, reset_late, open, took, .. } = self;
        if lost == 0 && reset == 0 && open == 0 && status.code() == Some(0) && took <= DEADLINE {
            return Ok(self);
        }
        bail!(
            "{lost} of {acked} bytes lost that were acknowledged before the signal; {reset} connections \
             reset before their last byte, {reset_late} after, {open} never closed; {status} after \
             {took:.2?}",
        )
    }
}
