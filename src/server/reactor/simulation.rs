//! The reactor's turn against scripted sockets: seeded schedules that cut every
//! read and write short at random, let any of them fail, stall, reset, half-close,
//! panic, keep workers waiting and drain at any turn, in a time of their own.
//!
//! Judged is what each client heard, byte for byte, why it was closed, and that at
//! the end nothing is held. A seed that fails says how to repeat it, and is kept in
//! `tests/seeds.txt`, whose seeds are tried first.

mod actor;
mod company;
mod dice;
mod speaker;
mod speech;
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
use crate::server::dispatch::Dispatch;
use crate::server::patience::Timeouts;
use crate::server::seats::Seats;
use crate::server::service::Service;
use crate::server::stats::Stats;
use crate::wire::codec::{Codec, Framing};
use actor::{Actor, Moment};
use company::Company;
use dice::Dice;
use speaker::{Manners, Speaker};
use speech::{MAX_MESSAGE, Speech};
use wire::{Faults, Wire};
use world::{Life, World};

/// Seeds that once failed.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/seeds.txt");

#[test]
fn every_byte_comes_back_whatever_the_sockets_do() {
    if let Some(seed) = number("SEED") {
        live(seed);
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
                    let life = live(seed);
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

/// Lives through one seed. One that fails is kept, and says how to repeat it.
fn live(seed: u64) -> Life {
    advance(Duration::ZERO);
    world(Dice::new(seed)).live().unwrap_or_else(|problem| {
        keep(seed);
        panic!("seed {seed}: {problem}\n\nto repeat it: SEED={seed} cargo test --lib simulation\n")
    })
}

fn keep(seed: u64) {
    let known = fs::read_to_string(KEPT).unwrap_or_default();
    if !known.lines().any(|line| line == seed.to_string())
        && let Ok(mut kept) = File::options().append(true).open(KEPT)
    {
        // Where it cannot be kept, the message has it too.
        let _ = writeln!(kept, "{seed}");
    }
}

fn world(mut dice: Dice) -> World {
    let calm = dice.chance(500);
    let framing = framing(&mut dice);
    let expected: Vec<Speaker> =
        (1..=dice.count(8)).map(|port| speaker(port as u16, &framing, calm, &mut dice)).collect();
    let panics_at = expected
        .iter()
        .filter_map(|speaker| Some((speaker.port, speaker.panics_at?)))
        .collect::<HashMap<_, _>>();
    let raw = framing == Framing::Raw;
    let actor = Arc::new(Actor {
        raw,
        panics_at,
        panics: 0.into(),
        opened: 0.into(),
        ended: Default::default(),
    });
    let codec = Arc::new(Codec::new(framing, MAX_MESSAGE));
    let (event_loop, mailbox) = EventLoop::new().expect("a event_loop");
    let seats = Seats::new(dice.count(8), mailbox.waker());
    let stats = Arc::new(Stats::new(1));
    let timeouts = timeouts(calm, &mut dice);
    let jobs = dice.roll(4);
    let (workers, queue) = crossbeam_channel::bounded(jobs);
    let mut dispatch = Dispatch::inline(Arc::clone(&codec), Arc::clone(&actor));
    if jobs > 0 {
        dispatch = dispatch.through(workers, 0, jobs);
    }
    let budget = dice.pick(&[0, 0, 100, 100_000]);
    let service = Service::new(dispatch, 0, budget, Arc::clone(&stats));
    let tick = dice.chance(100).then_some(Duration::from_millis(20));
    let reactor = Reactor::new(event_loop, service, timeouts, tick);
    let drain_at = if calm { 5000 } else { dice.pick(&[30, 100, 300, 1000]) };
    let drain_at = dice.roll(drain_at);
    let company = Company { speakers: Vec::new(), actor, seats, stats, timeouts, drain_by: None };
    let (post, at_work) = Default::default();
    World {
        dice,
        reactor,
        mailbox,
        budget,
        post,
        codec,
        queue,
        at_work,
        expected,
        company,
        drain_at,
    }
}

fn framing(dice: &mut Dice) -> Framing {
    match dice.roll(4) {
        0 => Framing::Raw,
        1 => Framing::Len32,
        2 => Framing::line(),
        _ => Framing::Delimited(b"\r\n\r\n".to_vec()),
    }
}

fn timeouts(calm: bool, dice: &mut Dice) -> Timeouts {
    let mut time = |choices: &[u64]| match dice.pick(choices) {
        0 => None,
        time => Some(Duration::from_millis(if calm { 100 * time } else { time })),
    };
    let (message, write) = (time(&[0, 60, 1000]), time(&[0, 60, 1000]));
    Timeouts { message, write, idle: time(&[0, 0, 200, 2000]) }
}

fn speaker(port: u16, framing: &Framing, calm: bool, dice: &mut Dice) -> Speaker {
    let faults = Faults {
        short: dice.pick(&[0, 100, 500, 1000]),
        not_yet: dice.pick(&[0, 0, 100, 500]),
        fatal: if calm { 0 } else { dice.pick(&[0, 0, 10]) },
        unwatched: dice.chance(10),
    };
    let room = dice.pick(&[1, 10, 100, 5000, 50_000]);
    let room = dice.count(room);
    let wire = Wire::new(dice.split(), faults, room);
    let moments = [Moment::Opened, Moment::Sent, Moment::Closed];
    let panics_at = dice.chance(60).then(|| dice.pick(&moments));
    let manners = if calm { kind(dice) } else { unkind(dice) };
    Speaker::new(port, wire, Speech::new(framing, dice), manners, panics_at)
}

/// Slow or fast, but sooner or later it says and takes everything.
fn kind(dice: &mut Dice) -> Manners {
    Manners {
        talks: dice.pick(&[100, 500, 900]),
        words: dice.pick(&[1, 10, 1000, 10_000]),
        listens: dice.pick(&[500, 900]),
        gulp: dice.pick(&[20, 10_000, 100_000]),
        window: dice.pick(&[50, 1000, 10_000]),
        finishes: true,
        resets: 0,
        leaves: 0,
    }
}

/// One may be deaf, another hold its connection for ever, reset it or go away.
fn unkind(dice: &mut Dice) -> Manners {
    Manners {
        listens: dice.pick(&[0, 100, 900]),
        gulp: dice.pick(&[1, 20, 10_000]),
        window: dice.pick(&[1, 50, 1000]),
        finishes: dice.chance(800),
        resets: dice.pick(&[0, 0, 20]),
        leaves: dice.pick(&[0, 0, 20]),
        ..kind(dice)
    }
}
