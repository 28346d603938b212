//! A long time of everything at once.

use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reactor_server::parts::{Event, Interest};
use reactor_server::program::framing::FramingFlag;

use crate::clients::pool::{Client, Next, Pool};
use crate::clients::rogue::Rogue;
use crate::clients::sources::Sources;
use crate::clients::talk::{Farewell, Plan, Talk};
use crate::harness::bench::Bench;
use crate::harness::server::{PATIENCE, Server};
use crate::splitmix::mix;

/// Connections of each server at any time, and the part of them that misbehaves.
const GUESTS: usize = 60;
const ROGUES: usize = GUESTS / 20;
/// How much more a server may hold at the end than after a tenth of the time: as much as
/// its clients can make it hold at once, since a heap may keep the holes they leave. What
/// is lost with each connection comes to more than that.
const GROWTH: u64 = GUESTS as u64 * 128 * 1024;
/// How often memory is sampled, in all.
const SAMPLES: u32 = 400;
/// How often misbehaving clients act on their own.
const TICK: Duration = Duration::from_millis(50);

/// A server in the soak.
struct Stage {
    server: Server,
    wire: FramingFlag,
    descriptors: usize,
    /// Resident memory, in bytes, as often as it was looked at.
    resident: Vec<u64>,
}

/// One of its clients.
struct Guest {
    stage: usize,
    part: Part,
}

enum Part {
    Honest(Talk),
    Rogue(Rogue),
}

struct Soak {
    stages: Vec<Stage>,
    pool: Pool<Guest>,
    sources: Sources,
    connections: u64,
    verified: u64,
    began: Instant,
    ticked: Instant,
    /// When something was verified last.
    latest: Instant,
}

/// Honest and misbehaving clients come and go for as long as was asked for.
pub(crate) fn soaked(bench: &Bench) -> Result<String> {
    let time = bench.soak.max(bench.measure(Duration::from_secs(2), Duration::from_secs(60)));
    let mut soak = Soak::new(bench)?;
    soak.fill()?;
    let (mut sampled, mut printed) = (Instant::now(), Instant::now());
    while soak.began.elapsed() < time {
        soak.turn()?;
        if sampled.elapsed() > time / SAMPLES {
            sampled = Instant::now();
            soak.sample()?;
        }
        if printed.elapsed() > Duration::from_secs(30) {
            printed = Instant::now();
            eprintln!("F42 {}", soak.figure());
        }
    }
    soak.wind_up()?;
    soak.judge()?;
    Ok(soak.figure())
}

impl Soak {
    fn new(bench: &Bench) -> Result<Soak> {
        let wires: &[FramingFlag] = if bench.is_ours() {
            &[FramingFlag::Raw, FramingFlag::Len32, FramingFlag::Line]
        } else {
            &[FramingFlag::Raw]
        };
        let stages: Result<_> = wires.iter().map(|&wire| Stage::start(bench, wire)).collect();
        Ok(Soak {
            stages: stages?,
            pool: Pool::new()?,
            sources: Sources::new(),
            connections: 0,
            verified: 0,
            began: Instant::now(),
            ticked: Instant::now(),
            latest: Instant::now(),
        })
    }

    fn fill(&mut self) -> Result<()> {
        for stage in 0..self.stages.len() {
            for guest in 0..GUESTS {
                self.open(stage, guest < ROGUES)?;
            }
        }
        Ok(())
    }

    fn open(&mut self, stage: usize, rogue: bool) -> Result<()> {
        let Stage { server, wire, .. } = &self.stages[stage];
        let (socket, key) = (self.sources.connect(server.address)?, self.connections);
        self.connections += 1;
        self.pool.add(Guest { stage, part: Part::new(socket, key, *wire, rogue) })
    }

    /// Runs the clients that are ready, and replaces those that are done.
    fn turn(&mut self) -> Result<()> {
        let mut ended = self.pool.turn(TICK)?;
        if self.ticked.elapsed() >= TICK {
            self.ticked = Instant::now();
            ended.extend(self.pool.each(Guest::tick)?);
        }
        for guest in ended {
            self.open(guest.stage, matches!(guest.part, Part::Rogue(_)))?;
            self.count(&guest);
        }
        let silent = self.latest.elapsed();
        ensure!(silent < PATIENCE, "no connection came to its end in {silent:?}");
        Ok(())
    }

    fn count(&mut self, guest: &Guest) {
        if let Part::Honest(talk) = &guest.part {
            self.verified += talk.answered;
            self.latest = Instant::now();
        }
    }

    fn sample(&mut self) -> Result<()> {
        for Stage { server, resident, .. } in &mut self.stages {
            if let Some(status) = server.status()? {
                anyhow::bail!("a server has ended: {status}");
            }
            resident.push(server.resident());
        }
        Ok(())
    }

    /// Sends nothing new, and waits for the last replies.
    fn wind_up(&mut self) -> Result<()> {
        self.pool.each(Guest::wind_up)?;
        let since = Instant::now();
        while self.pool.len() > 0 {
            for guest in self.pool.turn(Duration::from_millis(100))? {
                self.count(&guest);
            }
            let left = self.pool.len();
            ensure!(since.elapsed() < PATIENCE, "{left} connections wait for their last answers");
        }
        Ok(())
    }

    fn judge(&mut self) -> Result<()> {
        for stage in &self.stages {
            stage.judge().with_context(|| format!("framing {}", stage.wire.name()))?;
        }
        Ok(())
    }

    fn figure(&self) -> String {
        let seconds = self.began.elapsed().as_secs_f64();
        let resident = |part| {
            let bytes: u64 = self.stages.iter().map(|stage| stage.resident_at(part)).sum();
            bytes as f64 / f64::from(1 << 20)
        };
        let before: usize = self.stages.iter().map(|stage| stage.descriptors).sum();
        let now: usize = self.stages.iter().map(|stage| stage.server.descriptors()).sum();
        format!(
            "{} messages verified in {seconds:.0} s ({:.0} per second), {} connections, \
             5 % of them misbehaving at any time; RSS {:.1}, {:.1}, {:.1} MiB after 10, 50 and \
             100 % of the time; {before} descriptors before, {now} after",
            self.verified,
            self.verified as f64 / seconds,
            self.connections,
            resident(10),
            resident(50),
            resident(100),
        )
    }
}

impl Stage {
    fn start(bench: &Bench, wire: FramingFlag) -> Result<Stage> {
        let flags = ["--framing", wire.name(), "--frame-timeout", "5s", "--write-timeout", "5s"];
        let launch = bench.server().flags(&flags);
        let server = launch.output(Stdio::null(), Stdio::null()).start()?;
        let descriptors = server.descriptors_at_rest()?;
        Ok(Stage { server, wire, descriptors, resident: Vec::new() })
    }

    fn judge(&self) -> Result<()> {
        self.server.descriptors_back_to(self.descriptors)?;
        let (early, late) = (self.resident_at(10), self.resident_at(100));
        ensure!(late <= early + GROWTH, "RSS has grown from {early} to {late} bytes");
        Ok(())
    }

    /// The median of the twentieth of all samples that ends at, or else begins with,
    /// that percentage of the time.
    fn resident_at(&self, percent: usize) -> u64 {
        let (count, width) = (self.resident.len(), self.resident.len() / 20 + 1);
        let from = (count * percent / 100).min(count.saturating_sub(width));
        let mut samples = self.resident[from..(from + width).min(count)].to_vec();
        samples.sort_unstable();
        samples.get(samples.len() / 2).copied().unwrap_or(0)
    }
}

impl Part {
    fn new(socket: TcpStream, key: u64, wire: FramingFlag, rogue: bool) -> Part {
        if rogue {
            Part::Rogue(Rogue::new(socket, mix(key)))
        } else {
            Part::Honest(Talk::new(socket, key, plan(key, wire)))
        }
    }
}

impl Guest {
    fn tick(&mut self) -> Result<Next> {
        match &mut self.part {
            Part::Honest(_) => Ok(Next::Continue),
            Part::Rogue(rogue) => rogue.tick(),
        }
    }

    fn wind_up(&mut self) -> Result<Next> {
        match &mut self.part {
            Part::Honest(talk) => talk.wind_up(),
            Part::Rogue(_) => return Ok(Next::Done),
        }
        Ok(Next::Continue)
    }
}

impl Client for Guest {
    fn socket(&self) -> &TcpStream {
        match &self.part {
            Part::Honest(talk) => talk.socket(),
            Part::Rogue(rogue) => rogue.socket(),
        }
    }

    fn interest(&self) -> Interest {
        match &self.part {
            Part::Honest(talk) => talk.interest(),
            Part::Rogue(rogue) => rogue.interest(),
        }
    }

    fn ready(&mut self, event: Event, scratch: &mut [u8]) -> Result<Next> {
        match &mut self.part {
            Part::Honest(talk) => talk.ready(event, scratch),
            Part::Rogue(rogue) => rogue.ready(event, scratch),
        }
    }
}

/// A conversation of one of four kinds: from one message at a time to many, from none
/// of their bytes to many. Every third half-closes behind its last message.
fn plan(key: u64, wire: FramingFlag) -> Plan {
    type Length = fn(u64) -> usize;
    const KINDS: [(u64, u64, Length); 4] = [
        (256, 4_000, |random| random as usize % 32),
        (64, 1_000, |random| random as usize % 300),
        (16, 200, |random| random as usize % 4_000),
        (2, 10, |random| random as usize % 300_000),
    ];
    let random = mix(!key);
    // Each half as often as the one before.
    let (window, most, length) = KINDS[(random | 8).trailing_zeros() as usize];
    let farewell = [Farewell::Finish, Farewell::FinishEarly, Farewell::Reset][key as usize % 3];
    let (messages, window) = (1 + (random >> 32) % most, 1 + (random >> 16) % window);
    Plan { wire, messages, window, length, farewell }
}
