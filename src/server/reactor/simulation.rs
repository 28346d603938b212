//! Simulation of a reactor against scripted sockets. Seeded schedules cut reads and writes
//! short, fail them, stall, reset, half-close, panic, delay workers and drain at any turn, in
//! simulated time.
//!
//! Checked is what each client received, byte for byte, why it was closed, and that nothing
//! is held at the end. A seed that fails is printed with the command that repeats it, and
//! kept in `tests/seeds.txt`. The seeds in that file run first.

mod checker;
mod client;
mod dialogue;
mod handler;
mod pushes;
mod rng;
mod stream;
mod wire;
mod world;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use super::Reactor;
use crate::net::clock::scripted::advance;
use crate::net::mailbox::EventLoop;
use crate::server::handle::Handle;
use crate::server::patience::Timeouts;
use crate::server::seats::Seats;
use crate::server::shared::Shared;
use crate::server::workers::Workers;
use crate::wire::codec::{Codec, Framing};
use checker::Checker;
use client::{Behaviour, Client};
use dialogue::{Dialogue, MAX_MESSAGE};
use handler::{Moment, ScriptedHandler};
use pushes::{Posted, Pushes};
use rng::Rng;
use wire::{Faults, Wire};
use world::{Totals, World};

/// The seeds that once failed.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/seeds.txt");

#[test]
fn every_byte_comes_back_whatever_the_sockets_do() {
    if let Some(seed) = number("SEED") {
        run(seed);
        return;
    }
    let kept = fs::read_to_string(KEPT).expect("the kept seeds");
    let kept = kept.lines().map(|line| line.parse().expect("a seed a line"));
    let fresh = number("SEEDS").unwrap_or(if cfg!(debug_assertions) { 2_000 } else { 10_000 });
    let seeds: Vec<u64> = kept.chain(0..fresh).collect();
    let [next, turns, bytes] = [const { AtomicUsize::new(0) }; 3];
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cpus {
            scope.spawn(|| {
                while let Some(&seed) = seeds.get(next.fetch_add(1, Relaxed)) {
                    let life = run(seed);
                    turns.fetch_add(life.turns, Relaxed);
                    bytes.fetch_add(life.bytes, Relaxed);
                }
            });
        }
    });
    let (seeds, turns, bytes) = (seeds.len(), turns.into_inner(), bytes.into_inner());
    println!("simulation: {seeds} seeds, {turns} turns, {bytes} bytes compared, 0 wrong");
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not {text}")))
}

/// Runs one seed. If it fails, keeps it and prints how to repeat it.
fn run(seed: u64) -> Totals {
    advance(Duration::ZERO);
    world(Rng::new(seed)).run().unwrap_or_else(|problem| {
        keep(seed);
        panic!("seed {seed}: {problem}\n\nto repeat it: SEED={seed} cargo test --lib simulation\n")
    })
}

fn keep(seed: u64) {
    let known = fs::read_to_string(KEPT).unwrap_or_default();
    if !known.lines().any(|line| line == seed.to_string())
        && let Ok(mut kept) = File::options().append(true).open(KEPT)
    {
        // If it cannot be kept, the panic message still names it.
        let _ = writeln!(kept, "{seed}");
    }
}

fn world(mut rng: Rng) -> World {
    let calm = rng.chance(500);
    let framing = framing(&mut rng);
    let pushes = Arc::new(Pushes::new(framing.clone()));
    let expected: Vec<Client> =
        (1..=rng.count(8)).map(|port| client(port as u16, &pushes, calm, &mut rng)).collect();
    let panics_at = expected
        .iter()
        .filter_map(|client| Some((client.port, client.panics_at?)))
        .collect::<HashMap<_, _>>();
    let greetings = expected
        .iter()
        .filter_map(|client| Some((client.port, client.dialogue.greeting.clone()?)))
        .collect::<HashMap<_, _>>();
    let raw = framing == Framing::Raw;
    let handler = Arc::new(ScriptedHandler {
        raw,
        pushing: rng.chance(700),
        pushes: Arc::clone(&pushes),
        greetings,
        panics_at,
        panics: 0.into(),
        opened: 0.into(),
        ended: Default::default(),
    });
    let posted = Posted::default();
    let (_, acceptor) = EventLoop::new().expect("an event loop");
    let codec = Codec::new(framing, MAX_MESSAGE);
    let server = Handle::new(acceptor, Box::new(posted.clone()), 1, codec);
    let (event_loop, mailbox) = EventLoop::new().expect("a event_loop");
    let seats = Seats::new(rng.count(8), mailbox.waker());
    let timeouts = timeouts(calm, &mut rng);
    let jobs = rng.below(4);
    let (workers, queue) = crossbeam_channel::bounded(jobs);
    let workers = (jobs > 0).then(|| Workers::new(workers, 0, jobs));
    let budget = rng.pick(&[0, 0, 100, 100_000]);
    let shared = Shared::new(server.clone(), Arc::clone(&handler), workers, budget, 0);
    let tick = rng.chance(100).then_some(Duration::from_millis(20));
    let spread = Duration::from_millis(rng.pick(&[0, 0, 20, 300]));
    let reactor = Reactor::new(event_loop, shared, timeouts, tick, spread);
    let drain_at = if calm { 5000 } else { rng.pick(&[30, 100, 300, 1000]) };
    let drain_at = rng.below(drain_at);
    let checker =
        Checker { clients: Vec::new(), handler, seats, server, pushes, timeouts, drain_by: None };
    let (mail, at_work) = Default::default();
    World {
        rng,
        reactor,
        mailbox,
        budget,
        mail,
        posted,
        queue,
        at_work,
        expected,
        checker,
        drain_at,
        timeout: None,
    }
}

fn framing(rng: &mut Rng) -> Framing {
    match rng.below(4) {
        0 => Framing::Raw,
        1 => Framing::Len32,
        2 => Framing::line(),
        _ => Framing::Delimited(b"\r\n\r\n".to_vec()),
    }
}

fn timeouts(calm: bool, rng: &mut Rng) -> Timeouts {
    let mut time = |choices: &[u64]| match rng.pick(choices) {
        0 => None,
        time => Some(Duration::from_millis(if calm { 100 * time } else { time })),
    };
    let (message, write) = (time(&[0, 60, 1000]), time(&[0, 60, 1000]));
    Timeouts { message, write, idle: time(&[0, 0, 200, 2000]) }
}

fn client(port: u16, pushes: &Arc<Pushes>, calm: bool, rng: &mut Rng) -> Client {
    let faults = Faults {
        short: rng.pick(&[0, 100, 500, 1000]),
        not_yet: rng.pick(&[0, 0, 100, 500]),
        fatal: if calm { 0 } else { rng.pick(&[0, 0, 10]) },
        unwatched: rng.chance(10),
    };
    let room = rng.pick(&[1, 10, 100, 5000, 50_000]);
    let room = rng.count(room);
    let wire = Wire::new(rng.split(), faults, room);
    let moments = [Moment::Opened, Moment::Sent, Moment::Closed];
    let panics_at = rng.chance(60).then(|| rng.pick(&moments));
    let behaviour = if calm { patient(rng) } else { hostile(rng) };
    Client::new(
        port,
        wire,
        Dialogue::new(&pushes.framing, rng),
        behaviour,
        panics_at,
        Arc::clone(pushes),
    )
}

/// Slow or fast, but in the end it sends and reads everything.
fn patient(rng: &mut Rng) -> Behaviour {
    Behaviour {
        sends: rng.pick(&[100, 500, 900]),
        chunk: rng.pick(&[1, 10, 1000, 10_000]),
        reads: rng.pick(&[500, 900]),
        most_read: rng.pick(&[20, 10_000, 100_000]),
        window: rng.pick(&[50, 1000, 10_000]),
        finishes: true,
        resets: 0,
        leaves: 0,
    }
}

/// It may never read, hold its connection for ever, reset it or close it.
fn hostile(rng: &mut Rng) -> Behaviour {
    Behaviour {
        reads: rng.pick(&[0, 100, 900]),
        most_read: rng.pick(&[1, 20, 10_000]),
        window: rng.pick(&[1, 50, 1000]),
        finishes: rng.chance(800),
        resets: rng.pick(&[0, 0, 20]),
        leaves: rng.pick(&[0, 0, 20]),
        ..patient(rng)
    }
}
