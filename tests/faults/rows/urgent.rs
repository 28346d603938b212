//! Faults of urgent data: bytes that are sent with `MSG_OOB`. They are bytes of the stream.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use socket2::SockRef;

use crate::clients::blocking::connect_some;
use crate::clients::keyed_stream::{check, fill};
use crate::harness::bench::Bench;
use crate::harness::row::Row;
use crate::harness::server::{PATIENCE, Server, eventually};
use crate::harness::tcp_table;
use crate::splitmix::mix;

pub(crate) const ROWS: &[Row] =
    &[Row { id: "F43", fault: "urgent data", long: false, run: urgent }];

/// The bytes of a connection. All of them fit in the window that a connection begins with.
const LENGTH: usize = 30_000;
/// How long a server at rest is watched, and how much CPU time it may use then.
const REST: Duration = Duration::from_millis(200);
const IDLE: Duration = Duration::from_millis(50);

fn urgent(bench: &Bench) -> Result<String> {
    let (connections, rounds) = bench.measure((20, 3), (500, 50));
    let server = bench.server().start()?;
    for key in 0..connections {
        let stream = server.connect()?;
        send(&stream, key)?;
        receive(stream, key).with_context(|| format!("connection {key}"))?;
    }
    let spent = rest(&server)?;
    let drained = if bench.is_ours() { drains(bench, rounds)? } else { String::new() };
    Ok(format!(
        "every byte of {connections} connections came back in its place, at rest {spent:.1?} of CPU \
         time in {REST:?}{drained}"
    ))
}

/// Sends the stream of this key, some bytes of it as urgent ones, and half-closes.
fn send(mut stream: &TcpStream, key: u64) -> Result<()> {
    let mut bytes = vec![0; LENGTH];
    fill(key, 0, &mut bytes);
    let mut from = 0;
    for place in places(key) {
        stream.write_all(&bytes[from..place])?;
        SockRef::from(stream).send_out_of_band(&bytes[place..=place])?;
        from = place + 1;
    }
    stream.write_all(&bytes[from..])?;
    Ok(stream.shutdown(Shutdown::Write)?)
}

/// Where its urgent bytes are: the first, the last, two in a row, or some anywhere.
fn places(key: u64) -> Vec<usize> {
    match key % 4 {
        0 => vec![0],
        1 => vec![LENGTH - 1],
        2 => vec![LENGTH / 2, LENGTH / 2 + 1],
        _ => {
            let mut places: Vec<_> =
                (0..4).map(|number| mix(4 * key + number) as usize % LENGTH).collect();
            places.sort_unstable();
            places.dedup();
            places
        }
    }
}

/// Reads to the end, which must be a FIN behind the whole stream of this key.
fn receive(mut stream: TcpStream, key: u64) -> Result<()> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    ensure!(bytes.len() == LENGTH, "{} of {LENGTH} bytes came back", bytes.len());
    check(key, 0, &bytes)
}

/// Returns how much CPU time the server uses beside a connection whose last byte was urgent.
fn rest(server: &Server) -> Result<Duration> {
    let mut stream = server.connect()?;
    SockRef::from(&stream).send_out_of_band(b"!")?;
    stream.read_exact(&mut [0]).context("a single urgent byte")?;
    let before = server.cpu();
    thread::sleep(REST);
    let spent = server.cpu().saturating_sub(before);
    ensure!(spent < IDLE, "at rest it used {spent:.1?} of CPU time in {REST:?}");
    Ok(spent)
}

/// How many connections are drained at once.
const DRAINED: usize = 20;

/// Drains a server that has not read any of the bytes yet.
fn drains(bench: &Bench, rounds: usize) -> Result<String> {
    for round in 0..rounds {
        let workers = if round % 2 == 0 { "0" } else { "2" };
        let flags = ["--workers", workers];
        let server = bench.server().flags(&flags).output(Stdio::null(), Stdio::null()).start()?;
        drain(&server).with_context(|| format!("drain {} of {rounds}", round + 1))?;
    }
    Ok(format!("; {rounds} drains answered all that was acknowledged on {DRAINED} connections"))
}

fn drain(server: &Server) -> Result<()> {
    let streams = connect_some(server.address, DRAINED)?;
    server.signal_all(Signal::STOP)?;
    eventually("the server is stopped", || Ok(server.state()? == 'T'))?;
    for (key, stream) in streams.iter().enumerate() {
        send(stream, key as u64)?;
    }
    eventually("all is acknowledged", || {
        let entries = tcp_table::connected_to(server.address.port())?;
        Ok(entries.iter().all(|entry| entry.unacknowledged == 0))
    })?;
    server.signal(Signal::TERM)?;
    server.signal_all(Signal::CONT)?;
    for (key, stream) in streams.into_iter().enumerate() {
        receive(stream, key as u64).with_context(|| format!("connection {key}"))?;
    }
    let (status, _) = server.end_within(PATIENCE)?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}
