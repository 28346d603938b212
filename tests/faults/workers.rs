//! Faults of the workers: more than they can do, and each at a speed of its own.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reactor_server::program::framing::FramingFlag;
use reactor_server::{Config, Framing, Handler, Reply};
use rustix::process::Signal;

use crate::bench::Bench;
use crate::client::scramble;
use crate::common::{Running, config};
use crate::row::Row;
use crate::server::{PATIENCE, eventually};
use crate::sources::Sources;
use crate::swarm::Swarm;
use crate::talk::{Farewell, Plan, Talk};

pub const ROWS: &[Row] = &[
    Row { id: "F23", fault: "far more than the workers can do", long: false, run: overloaded },
    Row { id: "F25", fault: "workers of uneven speed, 64 pipelined", long: false, run: uneven },
];

/// More than the 256 jobs that a reactor may have out.
const CLIENTS: u64 = 600;
/// What a connection may make the server hold: one read, and its replies.
const HELD: u64 = 128 * 1024;

fn overloaded(bench: &Bench) -> Result<String> {
    bench.must_be_ours("needs workers")?;
    let log = bench.folder.join("overload");
    let output = File::create(&log)?;
    let flags = ["--framing", "len32", "--io-threads", "1", "--workers", "8", "--work", "1ms"];
    let launch = bench.server().flags(&flags).output(output.try_clone()?.into(), output.into());
    let server = launch.start()?;
    let before = server.resident();
    // Eight thousand a second at most, whatever sleeping costs beyond its time.
    let length: fn(u64) -> usize =
        bench.measure(|random| 1 + random as usize % 16, |random| 1_900 + random as usize % 200);
    let messages = bench.measure(13, 260);
    let plan = Plan {
        wire: FramingFlag::Len32,
        messages,
        window: messages,
        length,
        farewell: Farewell::Finish,
    };
    let mut swarm = swarm_of(CLIENTS, server.address, plan)?;
    let mut most = before;
    let took = swarm_to_end(&mut swarm, || most = most.max(server.resident()))?;
    let more = most.saturating_sub(before);
    ensure!(more <= CLIENTS * HELD, "{more} bytes more than before were held");
    server.signal(Signal::USR1)?;
    let mut waits = None;
    eventually("the counters in the log", || {
        waits = counter(&fs::read_to_string(&log)?, "job-waits=");
        Ok(waits.is_some())
    })?;
    let waits = waits.filter(|&waits| waits > 0).context("no connection had to wait for a job")?;
    let (all, took) = (CLIENTS * messages, took.as_secs_f64());
    Ok(format!(
        "{all} messages offered at once, of which 8 workers do {:.0} a second: all back; a \
         connection had to wait for a job {waits} times; RSS {:.1} MiB more at most",
        all as f64 / took,
        more as f64 / f64::from(1 << 20),
    ))
}

fn counter(log: &str, name: &str) -> Option<u64> {
    let line = log.lines().rev().find(|line| line.contains("counters "))?;
    line.split(' ').find_map(|word| word.strip_prefix(name)?.parse().ok())
}

/// Takes a different time for each message, so that workers overtake each other.
struct Uneven;

impl Handler for Uneven {
    type Session = ();

    fn opened(&self, _: SocketAddr) {}

    fn message(&self, _: &mut (), message: &[u8], reply: &mut Reply<'_>) {
        let random = message.iter().fold(0, |hash, &byte| scramble(hash ^ u64::from(byte)));
        match random % 64 {
            0 => std::thread::sleep(Duration::from_micros(random >> 32 & 0xff)),
            1..8 => std::thread::yield_now(),
            _ => {}
        }
        reply.send(&[message]);
    }
}

fn uneven(bench: &Bench) -> Result<String> {
    bench.must_be_ours("needs workers")?;
    let (clients, workers) = (64, 8);
    let messages = bench.measure(100_000, 10_000_000) / clients;
    let length = |random| 1 + random as usize % 24;
    let plan = Plan {
        wire: FramingFlag::Len32,
        messages,
        window: 64,
        length,
        farewell: Farewell::FinishEarly,
    };
    let server = Running::start(Config { workers, ..config(Framing::Len32) }, Uneven);
    let took = swarm_to_end(&mut swarm_of(clients, server.address, plan)?, || {})?;
    let handled = server.handle.stats().sum(|reactor| &reactor.messages);
    ensure!(handled == messages * clients, "{handled} messages were handled");
    Ok(format!(
        "{handled} messages on {clients} connections through {workers} workers, 0 out of order; \
         {:.0} a second",
        handled as f64 / took.as_secs_f64()
    ))
}

fn swarm_of(clients: u64, server: SocketAddr, plan: Plan) -> Result<Swarm<Talk>> {
    let (mut swarm, mut sources) = (Swarm::new()?, Sources::new());
    for key in 0..clients {
        swarm.add(Talk::new(sources.connect(server)?, key, plan))?;
    }
    Ok(swarm)
}

/// Has all say all, and looks on now and then. Says how long that took.
fn swarm_to_end(swarm: &mut Swarm<Talk>, mut look: impl FnMut()) -> Result<Duration> {
    let (began, mut looked) = (Instant::now(), Instant::now());
    while swarm.len() > 0 {
        swarm.turn(Duration::from_millis(50))?;
        if looked.elapsed() > Duration::from_millis(50) {
            looked = Instant::now();
            look();
        }
        ensure!(began.elapsed() < 30 * PATIENCE, "{} connections hang", swarm.len());
    }
    Ok(began.elapsed())
}
