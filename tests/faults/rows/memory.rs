//! Faults of memory: all that makes a server hold some, where there is little.

use std::io::Write;
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::clients::frames::{ask, must_refuse_lengths};
use crate::clients::hogs::Hogs;
use crate::clients::pingers::Pingers;
use crate::harness::bench::Bench;
use crate::harness::cgroup::Cgroup;
use crate::harness::row::Row;
use crate::harness::server::{PATIENCE, Server};

pub(crate) const ROWS: &[Row] =
    &[Row { id: "MEM", fault: "greed in 64 MiB of memory", long: true, run: little_memory }];

const MEMORY: u64 = 64 << 20;
const HOGS: usize = 1000;
/// More than our server reads at once of each while all hold much, so that it has to hold
/// parts of messages beside the replies that are not taken. It accepts no longer ones:
/// by its own figures it then holds 16 MiB, and 12 KiB a connection.
const MESSAGE: usize = 8 << 10;
const SLOW: usize = 200;
/// After this long without a byte, none will send any more.
const STALLED: Duration = Duration::from_millis(300);

fn little_memory(bench: &Bench) -> Result<String> {
    let cgroup = Cgroup::with_memory(MEMORY)?;
    let wrapper = cgroup.wrapper();
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    // What it logs to a file would count as its memory.
    let server = bench
        .server()
        .wrapped_in(&wrapper)
        .flags(&["--framing", "len32", "--max-message", "8k"])
        .output(Stdio::null(), Stdio::null())
        .start()?;
    let seen = put_under_pressure(bench, &server);
    let figure = format!("peak {:.1} MiB of 64", cgroup.peak()? as f64 / f64::from(1 << 20));
    if let Some(status) = server.status()? {
        bail!("it was ended: {status}, {} killed, {figure}", cgroup.kills()?);
    }
    ensure!(cgroup.kills()? == 0, "{} of its processes were killed, {figure}", cgroup.kills()?);
    let seen = seen.context(figure.clone())?;
    Ok(format!("{figure}, {seen}"))
}

/// Does it all at once, with honest clients beside it.
fn put_under_pressure(bench: &Bench, server: &Server) -> Result<String> {
    let pingers = Pingers::start(server.address, 20, Duration::from_millis(50))?;
    // Raw echo knows no half messages and no lengths: to it these are honest.
    let slow = if bench.is_ours() { SLOW } else { 0 };
    let mut slow = (0..slow).map(|_| announce(server)).collect::<Result<Vec<_>>>()?;
    let mut hogs = Hogs::connect(server.address, HOGS, MESSAGE)?;
    hogs.wake()?;
    let began = Instant::now();
    while hogs.stalled.elapsed() < STALLED && began.elapsed() < PATIENCE {
        hogs.feed_for(Duration::from_millis(100))?;
        // The server may have closed it by now.
        slow.iter_mut().for_each(|stream| drop(stream.write(b"x")));
    }
    if bench.is_ours() {
        must_refuse_lengths(server)?;
        ask(&mut server.connect()?, b"are you there?").context("it does not answer")?;
    }
    let others = pingers.finish()?;
    let (left, sent) = (hogs.len(), hogs.sent >> 20);
    Ok(format!("{left} of {HOGS} hogs left, which sent {sent} MiB; others: {others}"))
}

/// A connection that has announced a message and sends a byte of it at a time.
fn announce(server: &Server) -> Result<TcpStream> {
    let mut stream = server.connect()?;
    stream.write_all(&1_000_000_u32.to_le_bytes())?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}
