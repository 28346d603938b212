//! Faults of accepting: no descriptors, bursts.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reactor_server::program::limits::raise_descriptor_limit;
use reactor_server::{Event, Interest};

use crate::bench::Bench;
use crate::client::{Answer, await_answer, begin_to_connect, check, fill};
use crate::herd::{Herd, Member};
use crate::pingers::Pingers;
use crate::row::{Row, Skip};
use crate::server::{PATIENCE, Server};
use crate::shortage::{Conduct, Flood, Shortage, first_in_line};

pub const ROWS: &[Row] = &[
    Row { id: "F01", fault: "no descriptors, many connects", long: false, run: no_descriptors },
    Row { id: "F04", fault: "a burst of connects", long: false, run: burst },
];

/// How soon the first must be accepted who waited: five times our target, and what
/// another server may take at most.
const RECOVERY: Duration = Duration::from_millis(500);
const RECOVERY_OF_OTHERS: Duration = Duration::from_secs(5);

fn no_descriptors(bench: &Bench) -> Result<String> {
    let log = bench.folder.join("F01");
    let file = File::create(&log)?;
    let server = bench.server().output(file.try_clone()?.into(), file.into()).start()?;
    server.run_first();
    server.unless_it_has_ended(starve(bench, &server, &log))
}

fn starve(bench: &Bench, server: &Server, log: &Path) -> Result<String> {
    let half = bench.measure(Duration::from_millis(500), Duration::from_secs(5));
    let pingers = Pingers::start(server.address, 10, Duration::from_millis(500))?;
    let shortage = Shortage::make(server)?;
    let (mut first, _accepted) = first_in_line(server)?;
    let flood = Flood::start(server.address);
    let conduct = Conduct::watch(bench, server, log, half)?;
    let met = await_answer(&mut first, Duration::from_millis(1))?;
    ensure!(met == Answer::Silence, "who could not be accepted met with {met:?} ({conduct})");
    let ended = Instant::now();
    drop(shortage);
    let met = await_answer(&mut first, PATIENCE)?;
    let after = ended.elapsed();
    drop(flood);
    ensure!(met == Answer::Served, "who was first in line met with {met:?} ({conduct})");
    let established = pingers.finish()?;
    server.must_be_alive()?;
    let figure =
        format!("{conduct}; first in line served after {after:.0?}; others: {established}");
    conduct.must_hold(bench).context(figure.clone())?;
    let limit = if bench.is_ours() { RECOVERY } else { RECOVERY_OF_OTHERS };
    ensure!(after < limit, "it accepts again too late: {figure}");
    Ok(figure)
}

/// One of a burst. It asks once, and leaves when it has its answer.
struct Guest {
    key: u64,
    sent: usize,
    received: usize,
}

/// The bytes that each sends.
const QUESTION: usize = 64;

fn burst(bench: &Bench) -> Result<String> {
    let count = bench.measure(1000, 10_000);
    if raise_descriptor_limit()? < count + 100 {
        return Err(Skip(format!("the limit of descriptors is below {count}")).into());
    }
    let server = bench.server().start()?;
    server.unless_it_has_ended(take_in(&server, count, bench.measure(PATIENCE, 3 * PATIENCE)))
}

fn take_in(server: &Server, count: u64, limit: Duration) -> Result<String> {
    let before = server.descriptors_at_rest()?;
    let began = Instant::now();
    let mut herd = connect_all(server.address, count)?;
    let mut failed = Vec::new();
    let mut answered = 0;
    while herd.len() > 0 && began.elapsed() < limit {
        herd.visit(Duration::from_millis(100), |guest, event| {
            let next = attend(guest, event);
            answered += u64::from(matches!(next, Ok(None)));
            Ok(next.unwrap_or_else(|error| {
                failed.push(error);
                None
            }))
        })?;
    }
    let figure = format!("{answered} of {count} verified in {:.1?}", began.elapsed());
    if let Some(error) = failed.pop() {
        return Err(error.context(format!("{figure}, {} failed, so the last", failed.len() + 1)));
    }
    ensure!(answered == count, "{figure}, the rest wait");
    server.must_be_alive()?;
    server.descriptors_back_to(before)?;
    Ok(figure)
}

fn connect_all(address: SocketAddr, count: u64) -> Result<Herd<Guest>> {
    let mut herd = Herd::new()?;
    for key in 0..count {
        let stream = begin_to_connect(address).with_context(|| format!("connect {key}"))?;
        herd.join(stream, Guest { key, sent: 0, received: 0 }, Interest::WRITABLE)?;
    }
    Ok(herd)
}

/// What the guest is to wait for next; nothing once it has its answer.
fn attend(guest: &mut Member<Guest>, event: Event) -> Result<Option<Interest>> {
    let mut bytes = [0; QUESTION];
    if event.is_writable() && guest.state.sent < QUESTION {
        fill(guest.state.key, 0, &mut bytes);
        guest.state.sent += guest.write(&bytes[guest.state.sent..])?;
        return Ok(Some(Interest::READABLE));
    }
    let left = QUESTION - guest.state.received;
    let Some(count) = guest.read(&mut bytes[..left])? else { return Ok(Some(Interest::READABLE)) };
    ensure!(count > 0, "it was closed");
    check(guest.state.key, guest.state.received as u64, &bytes[..count])?;
    guest.state.received += count;
    if guest.state.received < QUESTION {
        return Ok(Some(Interest::READABLE));
    }
    // Gone at once: a FIN would keep its port taken for a minute.
    socket2::SockRef::from(&guest.stream).set_linger(Some(Duration::ZERO))?;
    Ok(None)
}
