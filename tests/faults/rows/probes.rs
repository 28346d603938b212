//! Faults of probes: connections that are closed at once.

use std::fs::{self, File};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::clients::blocking::{self, Answer, await_answer};
use crate::clients::sources::Sources;
use crate::harness::bench::Bench;
use crate::harness::row::Row;
use crate::harness::server::{Server, eventually};

pub(crate) const ROWS: &[Row] =
    &[Row { id: "F49", fault: "probes that connect and close at once", long: false, run: probed }];

fn probed(bench: &Bench) -> Result<String> {
    let count = bench.measure(1000, 20_000);
    let output = bench.folder.join("F49");
    let file = File::create(&output)?;
    let launch = bench.server().flags(&["--log-connections", "used"]);
    let server = launch.output(file.try_clone()?.into(), file.into()).start()?;
    server.must_be_alive()?;
    let before = server.descriptors_at_rest()?;
    let began = Instant::now();
    probe(&server, count)?;
    let rate = count as f64 / began.elapsed().as_secs_f64();
    server.must_be_alive()?;
    let after = server.descriptors_back_to(before)?;
    let figure =
        format!("{count} probes, {rate:.0} per second; {before} descriptors before, {after} after");
    if !bench.is_ours() {
        return Ok(figure);
    }
    // Two clients sent something: to see whether it is alive.
    eventually("their lines", || Ok(lines_of_connections(&fs::read_to_string(&output)?) >= 4))?;
    let lines = lines_of_connections(&fs::read_to_string(&output)?);
    ensure!(lines == 4, "{lines} lines of connections");
    let lines = probed_while_full(bench, count.min(1000)).context("at its limit")?;
    Ok(format!("{figure}, and no line of them in the log; {lines} lines of them at its limit"))
}

fn lines_of_connections(log: &str) -> usize {
    log.lines()
        .filter(|line| line.contains("new connection ") || line.contains("connection close "))
        .count()
}

/// Every other one is reset.
fn probe(server: &Server, count: usize) -> Result<()> {
    let mut sources = Sources::new();
    for number in 0..count {
        let stream = sources.connect(server.address).with_context(|| format!("probe {number}"))?;
        if number % 2 == 0 {
            blocking::reset(stream)?;
        }
    }
    Ok(())
}

/// Probes wait behind those that have all seats. Returns how many lines the log has of that.
fn probed_while_full(bench: &Bench, count: usize) -> Result<usize> {
    let output = bench.folder.join("F49-full");
    let file = File::create(&output)?;
    let flags = ["--log-connections", "used", "--max-connections", "10"];
    let launch = bench.server().flags(&flags).output(file.try_clone()?.into(), file.into());
    let server = launch.start()?;
    let mut seated = blocking::connect_some(server.address, 10)?;
    seated.iter_mut().try_for_each(blocking::ping)?;
    probe(&server, count)?;
    let mut last = server.connect()?;
    let met = blocking::try_ping(&mut last, Duration::from_millis(50))?;
    ensure!(met == Answer::Silence, "one more than it may have got {met:?}");
    seated.iter_mut().try_for_each(blocking::ping)?;
    drop(seated);
    let met = await_answer(&mut last, crate::harness::server::PATIENCE)?;
    ensure!(met == Answer::Served, "the last behind {count} probes got {met:?}");
    let over = "fewer than 10 connections are open again, after";
    eventually(over, || Ok(fs::read_to_string(&output)?.contains(over)))?;
    server.must_be_alive()?;
    let log = fs::read_to_string(&output)?;
    let lines = log.lines().filter(|line| line.contains("connections are open")).count();
    ensure!(lines == 2, "{lines} lines of one time at its limit");
    Ok(lines)
}
