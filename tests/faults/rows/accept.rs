//! Faults of accepting: no descriptors, bursts.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, ensure};
use reactor_server::parts::{Event, Interest};
use reactor_server::program::limits::raise_descriptor_limit;
use socket2::SockRef;

use crate::clients::blocking::{Answer, await_answer, begin_to_connect};
use crate::clients::keyed_stream;
use crate::clients::pingers::Pingers;
use crate::clients::pool::{Client, Next, Pool, unless_blocked};
use crate::harness::bench::Bench;
use crate::harness::row::{Row, Skip};
use crate::harness::server::{PATIENCE, Server};
use crate::harness::shortage::{Conduct, Flood, Shortage, first_in_line};

pub(crate) const ROWS: &[Row] = &[
    Row { id: "F01", fault: "no descriptors, many connects", long: false, run: no_descriptors },
    Row { id: "F04", fault: "a burst of connects", long: false, run: burst },
];

/// How soon the first connection that waited must be accepted: five times our target, and two
/// seconds in which a busy machine may pause; and what another server may take at most.
const RECOVERY: Duration = Duration::from_millis(2500);
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
    let conduct = Conduct::watch(bench, server, &shortage, log, half)?;
    let met = await_answer(&mut first, Duration::from_millis(1))?;
    ensure!(
        met == Answer::Silence,
        "a connection that could not be accepted got {met:?} ({conduct})"
    );
    let ended = Instant::now();
    drop(shortage);
    let met = await_answer(&mut first, PATIENCE)?;
    let after = ended.elapsed();
    drop(flood);
    ensure!(met == Answer::Served, "the first in line got {met:?} ({conduct})");
    let established = pingers.finish()?;
    server.must_be_alive()?;
    let figure =
        format!("{conduct}; first in line served after {after:.0?}; others: {established}");
    conduct.must_hold(bench).context(figure.clone())?;
    let limit = if bench.is_ours() { RECOVERY } else { RECOVERY_OF_OTHERS };
    ensure!(after < limit, "it accepts again too late: {figure}");
    Ok(figure)
}

/// One of a burst. It sends once, and is done once it has its reply.
struct Guest {
    stream: TcpStream,
    key: u64,
    sent: usize,
    received: usize,
    error: Option<Error>,
}

/// The bytes that each sends.
const MESSAGE: usize = 64;

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
    let mut pool = Pool::new()?;
    for key in 0..count {
        let stream = begin_to_connect(server.address).with_context(|| format!("connect {key}"))?;
        pool.add(Guest { stream, key, sent: 0, received: 0, error: None })?;
    }
    let (mut answered, mut errors) = (0, Vec::new());
    while pool.len() > 0 && began.elapsed() < limit {
        for guest in pool.turn(Duration::from_millis(100))? {
            match guest.error {
                Some(error) => errors.push(error),
                None => answered += 1,
            }
        }
    }
    let figure = format!("{answered} of {count} verified in {:.1?}", began.elapsed());
    if let Some(error) = errors.pop() {
        return Err(error.context(format!("{figure}, {} failed, so the last", errors.len() + 1)));
    }
    ensure!(answered == count, "{figure}, the rest wait");
    server.must_be_alive()?;
    server.descriptors_back_to(before)?;
    Ok(figure)
}

impl Guest {
    fn exchange(&mut self, event: Event) -> Result<Next> {
        let mut bytes = [0; MESSAGE];
        if event.is_writable() && self.sent < MESSAGE {
            keyed_stream::fill(self.key, 0, &mut bytes);
            let sent = unless_blocked(self.stream.write(&bytes[self.sent..]))?;
            self.sent += sent.unwrap_or(0);
            return Ok(Next::Continue);
        }
        let left = MESSAGE - self.received;
        let read = unless_blocked(self.stream.read(&mut bytes[..left]))?;
        let Some(count) = read else { return Ok(Next::Continue) };
        ensure!(count > 0, "it was closed");
        keyed_stream::check(self.key, self.received as u64, &bytes[..count])?;
        self.received += count;
        if self.received < MESSAGE {
            return Ok(Next::Continue);
        }
        // A FIN would keep its port in use for a minute.
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
        Ok(Next::Done)
    }
}

impl Client for Guest {
    fn socket(&self) -> &TcpStream {
        &self.stream
    }

    fn interest(&self) -> Interest {
        if self.sent < MESSAGE { Interest::WRITABLE } else { Interest::READABLE }
    }

    fn ready(&mut self, event: Event, _: &mut [u8]) -> Result<Next> {
        self.exchange(event).or_else(|error| {
            self.error = Some(error);
            Ok(Next::Done)
        })
    }
}
