//! Faults of the end: a drain under load.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use crate::bench::Bench;
use crate::client::fill;
use crate::hose::Hose;
use crate::row::Row;
use crate::server::Server;
use crate::swarm::{Fate, Swarm};

pub const ROWS: &[Row] =
    &[Row { id: "F27", fault: "SIGTERM under load", long: false, run: drained }];

/// How long a drain may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long nothing at all can be written before all is full.
const FULL: Duration = Duration::from_millis(200);
/// How late the clients begin to read, now and then: a server that closes over the bytes
/// that still come resets the connection, and its answers are lost.
const LATE: Duration = Duration::from_millis(1_200);
/// So long that a lost byte shifts what follows, and no multiple of any buffer.
const NOISE: usize = 1_000_003;

/// What came of one drain.
#[derive(Debug, Default)]
struct Outcome {
    /// Sent before the signal; nothing was read.
    in_flight: u64,
    /// The part of it that the server's side had acknowledged.
    acked: u64,
    /// The part of that which never came back.
    lost: u64,
    /// Connections that ended otherwise than with a FIN.
    reset: usize,
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
    let slowest = outcomes.iter().map(|outcome| outcome.took).max().unwrap_or_default();
    format!(
        "{} times with {:.0} MiB and more in flight on {connections} connections: all {:.0} MiB \
         acknowledged before the signal came back, then a FIN; exit 0 after {slowest:.2?} at most",
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
    let mut swarm = Swarm::new()?;
    for number in 0..connections {
        swarm.add(Hose::new(server.connect()?, Rc::clone(noise), number, each)?)?;
    }
    pour(&mut swarm)?;
    swarm.each(Hose::half_close)?;
    let unacked = unacknowledged(server.address)?;
    let mut outcome = Outcome::default();
    swarm.each(|hose| {
        let port = hose.port()?;
        hose.acked =
            hose.sent - unacked.get(&port).map_or(hose.sent, |&bytes| bytes.min(hose.sent));
        outcome.in_flight += hose.sent;
        outcome.acked += hose.acked;
        Ok(Fate::Stays)
    })?;
    server.signal(Signal::TERM)?;
    let began = Instant::now();
    swarm.each(Hose::send_on)?;
    for hose in ends(&mut swarm, began, pause)? {
        outcome.lost += hose.acked.saturating_sub(hose.received);
        outcome.reset += usize::from(hose.broken);
    }
    outcome.open = swarm.len();
    let (status, _) = server.end_within((DEADLINE * 2).saturating_sub(began.elapsed()))?;
    outcome.took = began.elapsed();
    outcome.judge(status)
}

/// Sends until each has sent its share, or all is full.
fn pour(swarm: &mut Swarm<Hose>) -> Result<()> {
    let (mut sent, mut since) = (0, Instant::now());
    while since.elapsed() < FULL {
        let ended = swarm.turn(Duration::from_millis(20))?.len();
        ensure!(ended == 0, "{ended} connections failed before the signal");
        let (mut now, mut wanted) = (0, 0);
        swarm.each(|hose| {
            (now, wanted) = (now + hose.sent, wanted + hose.share);
            Ok(Fate::Stays)
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

/// Reads from all to the end after a pause, and gives back those that have come to
/// theirs in time.
fn ends(swarm: &mut Swarm<Hose>, began: Instant, pause: Duration) -> Result<Vec<Hose>> {
    let mut ended = Vec::new();
    while began.elapsed() < pause {
        ended.extend(swarm.turn(pause.saturating_sub(began.elapsed()))?);
    }
    swarm.each(Hose::read_on)?;
    while swarm.len() > 0 && began.elapsed() < DEADLINE + Duration::from_secs(2) {
        ended.extend(swarm.turn(Duration::from_millis(100))?);
    }
    Ok(ended)
}

impl Outcome {
    fn judge(self, status: ExitStatus) -> Result<Outcome> {
        let Outcome { acked, lost, reset, open, took, .. } = self;
        if lost == 0 && reset == 0 && open == 0 && status.code() == Some(0) && took <= DEADLINE {
            return Ok(self);
        }
        bail!(
            "{:.1} of {:.1} MiB lost that were acknowledged before the signal; {reset} connections \
             reset, {open} never closed; {status} after {took:.2?}",
            mebibytes(lost),
            mebibytes(acked),
        )
    }
}

/// How many bytes each client has written that the server's side has not acknowledged,
/// by the client's port, as the kernel lists them.
fn unacknowledged(server: SocketAddr) -> Result<HashMap<u16, u64>> {
    let table = fs::read_to_string("/proc/net/tcp").context("cannot see the queues")?;
    let port = |address: &str| u16::from_str_radix(address.split_once(':')?.1, 16).ok();
    let row = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, remote) = (port(fields.next()?)?, port(fields.next()?)?);
        let queue = fields.nth(1)?.split_once(':')?.0;
        (remote == server.port()).then_some((local, u64::from_str_radix(queue, 16).ok()?))
    };
    Ok(table.lines().filter_map(row).collect())
}
