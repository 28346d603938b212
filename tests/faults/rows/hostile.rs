//! Faults of hostile peers: resets, killed sockets, greed.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::clients::blocking::{connect, connect_from_afar, ping, reset};
use crate::clients::hogs::Hogs;
use crate::clients::pingers::Pingers;
use crate::harness::bench::Bench;
use crate::harness::row::{Row, Skip};
use crate::harness::server::{PATIENCE, Server, within};

pub(crate) const ROWS: &[Row] = &[
    Row { id: "F07", fault: "resets in mid-write", long: false, run: resets },
    Row { id: "F08", fault: "sockets killed from outside", long: false, run: killed_sockets },
    Row { id: "F09", fault: "peers that send and never read", long: false, run: never_read },
];

/// How long a server may take to go through it all. One that starts a process for each
/// connection is judged by what it has come to by then.
const LONG: Duration = Duration::from_secs(60);
/// What its memory may grow by while they come, after the first tenth of them or of the
/// time.
const LEAK: u64 = 8 << 20;

fn resets(bench: &Bench) -> Result<String> {
    let server = bench.server().start()?;
    server.unless_it_has_ended(reset_many(&server, bench.measure(2000, 100_000)))
}

fn reset_many(server: &Server, count: usize) -> Result<String> {
    let (before, mut resident) = (server.descriptors_at_rest()?, 0);
    let (began, mut done) = (Instant::now(), 0);
    while done < count && began.elapsed() < LONG {
        reset_in_mid_write(server.address, done).with_context(|| format!("reset {done}"))?;
        done += 1;
        // A slow server does not reach a tenth of them.
        if resident == 0 && (done >= count / 10 || began.elapsed() >= LONG / 10) {
            resident = server.resident();
        }
    }
    server.must_be_alive()?;
    let left = server.descriptors_back_to(before)?;
    let grown = server.resident().saturating_sub(resident);
    let figure =
        format!("{done} resets in {:.1?}, descriptors {before} and {left}", began.elapsed());
    ensure!(grown < LEAK, "{figure}, and {grown} bytes more are held");
    Ok(figure)
}

/// What is sent before the reset, in turn: less than a segment, about what a server reads
/// at once, more than its kernel takes of the answer.
const SIZES: [usize; 12] =
    [1, 100, 65_536, 1000, 4000, 200_000, 300, 16_000, 65_537, 2, 40_000, 131_072];

fn reset_in_mid_write(address: SocketAddr, number: usize) -> Result<()> {
    let mut stream = connect_from_afar(address)?;
    send_what_fits(&mut stream, SIZES[number % SIZES.len()])?;
    // One in five is reset before a reply can have arrived.
    if !number.is_multiple_of(5) {
        ensure!(stream.read(&mut [0])? == 1, "it was closed");
    }
    reset(stream)
}

fn send_what_fits(stream: &mut TcpStream, size: usize) -> Result<()> {
    let bytes = [b'r'; 65_536];
    stream.set_nonblocking(true)?;
    let (mut left, mut full) = (size, 0);
    while left > 0 && full < 3 {
        match stream.write(&bytes[..left.min(bytes.len())]) {
            Ok(count) => left -= count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                full += 1;
                std::thread::sleep(Duration::from_micros(200));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(stream.set_nonblocking(false)?)
}

fn killed_sockets(bench: &Bench) -> Result<String> {
    bench.must_have("ss")?;
    must_be_killable()?;
    let (rounds, each) = bench.measure((3, 30), (50, 100));
    let server = bench.server().start()?;
    server.unless_it_has_ended(kill_many(&server, rounds, each))
}

fn kill_many(server: &Server, rounds: usize, each: usize) -> Result<String> {
    let before = server.descriptors_at_rest()?;
    let (began, mut round) = (Instant::now(), 0);
    while round < rounds && began.elapsed() < LONG {
        round += 1;
        let connect = |_| connect_from_afar(server.address);
        let mut streams = (0..each).map(connect).collect::<Result<Vec<_>>>()?;
        for (number, stream) in streams.iter_mut().enumerate() {
            ping(stream)?;
            // Half of them have bytes under way.
            send_what_fits(stream, if number % 2 == 0 { 0 } else { 1 << 18 })?;
        }
        kill_sockets(server.address.port())?;
        for stream in &mut streams {
            must_end(stream).with_context(|| format!("round {round}"))?;
        }
        server.descriptors_back_to(before)?;
    }
    server.must_be_alive()?;
    Ok(format!("{} sockets killed, descriptors back to {before}", round * each))
}

/// Kills the sockets of a server, but not the one that listens.
fn kill_sockets(port: u16) -> Result<()> {
    let filter = format!("sport = :{port}");
    let output = Command::new("ss").args(["-HtK", "state", "connected", &filter]).output()?;
    ensure!(output.status.success(), "ss: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Skips the row where the kernel does not kill sockets: tries it on one of our own.
fn must_be_killable() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut stream = connect(listener.local_addr()?)?;
    let _accepted = listener.accept()?;
    kill_sockets(listener.local_addr()?.port())?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    match stream.read(&mut [0]) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            Err(Skip("this kernel does not let ss kill sockets".into()).into())
        }
        _ => Ok(()),
    }
}

/// That the connection comes to an end, whatever was still under way.
fn must_end(stream: &mut TcpStream) -> Result<()> {
    let mut bytes = [0; 65_536];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                anyhow::bail!("a killed connection does not end")
            }
            Err(_) => return Ok(()),
        }
    }
}

/// What a server may hold for a peer that does not read: what it reads at once, and a
/// little for the connection itself. And for all of them together, because memory
/// that was freed is not always given back.
const HELD: u64 = (64 + 4) << 10;
const SLACK: u64 = 16 << 20;

fn never_read(bench: &Bench) -> Result<String> {
    let count = bench.measure(200, 1000);
    let deadline = bench.measure(Duration::from_millis(500), Duration::from_secs(2));
    let flag = format!("{}ms", deadline.as_millis());
    let server = bench.server().flags(&["--write-timeout", &flag]).start()?;
    server.unless_it_has_ended(outlast(bench, &server, count, deadline))
}

fn outlast(bench: &Bench, server: &Server, count: usize, deadline: Duration) -> Result<String> {
    let pingers = Pingers::start(server.address, 20, Duration::from_millis(50))?;
    let mut hogs = Hogs::connect(server.address, count, 1024)?;
    let before = server.resident();
    let peak = gorge(bench, server, &mut hogs)?;
    let (held, bound) = (peak.saturating_sub(before), count as u64 * HELD + SLACK);
    let mut figure = format!(
        "{count} sent {} MiB, {:.1} MiB held",
        hogs.sent >> 20,
        held as f64 / f64::from(1 << 20)
    );
    ensure!(held <= bound, "{figure}, more than {} MiB", bound >> 20);
    if bench.is_ours() {
        let evicted = evict(&mut hogs, deadline).with_context(|| figure.clone())?;
        figure += &format!(", all evicted {evicted:.1?} after the last byte");
    }
    let others = pingers.finish()?;
    server.must_be_alive()?;
    Ok(format!("{figure}; others: {others}"))
}

/// Has them send until nothing moves any more, and returns how much memory that took.
fn gorge(bench: &Bench, server: &Server, hogs: &mut Hogs) -> Result<u64> {
    hogs.wake()?;
    let (began, mut peak) = (Instant::now(), 0);
    let quiet = bench.measure(Duration::from_millis(200), Duration::from_secs(1));
    while hogs.stalled.elapsed() < quiet && began.elapsed() < PATIENCE {
        hogs.feed_for(Duration::from_millis(50))?;
        peak = peak.max(server.resident());
    }
    Ok(peak)
}

/// Waits until all are reset, and returns how long after the last byte that was.
fn evict(hogs: &mut Hogs, deadline: Duration) -> Result<Duration> {
    within(5 * deadline + Duration::from_secs(1), "all are evicted", || {
        hogs.feed(Duration::from_millis(10))?;
        Ok(hogs.len() == 0)
    })
    .with_context(|| format!("{} are left", hogs.len()))?;
    let end = hogs.evicted.context("none was evicted")?;
    Ok(end.saturating_duration_since(hogs.stalled))
}
