//! Faults of the handler, for the library: panics, workers that are stuck, answers that
//! come too late.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::panic::PanicHookInfo;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use reactor_server::{Config, Framing, Reason, Timeouts};
use socket2::{Domain, Socket, Type};

use crate::ask::Ask;
use crate::bench::Bench;
use crate::client::reset;
use crate::common::{Running, config, frame};
use crate::obedient::{MEET, MUCH, Obedient, PANIC, WAIT};
use crate::row::{Row, Skip};
use crate::server::{PATIENCE, eventually};
use crate::sources::Sources;
use crate::swarm::Swarm;

pub const ROWS: &[Row] = &[
    Row { id: "F21", fault: "handler panics", long: false, run: panicked },
    Row { id: "F22", fault: "all workers stuck", long: false, run: stuck },
    Row {
        id: "F24",
        fault: "late reply, slot and descriptor in use again",
        long: false,
        run: late,
    },
];

const NEEDS: &str = "needs a handler of our own";

fn panicked(bench: &Bench) -> Result<String> {
    bench.must_be_ours(NEEDS)?;
    let times = bench.measure(1_000, 100_000);
    let _silence = Silence::new();
    for workers in [0, 4] {
        let config = Config { workers, ..config(Framing::Len32) };
        let parties = if workers == 0 { config.io_threads } else { workers };
        let server = Running::start(config, Obedient::new(parties).0);
        meet(&server, parties)?;
        let threads = own_threads();
        panic_often(&server, times)?;
        let stats = server.handle.stats();
        let panics = || stats.sum(|reactor| &reactor.panics);
        eventually("all closed", || Ok(stats.closed_for(Reason::Panic) == times))?;
        ensure!(panics() == times, "{} of {times} panics were counted", panics());
        ensure!(own_threads() == threads, "{threads} threads before, {} after", own_threads());
        meet(&server, parties)?;
    }
    Ok(format!(
        "{times} inline and {times} on workers, each closed its connection after what was \
         answered; all reactors and workers still answer"
    ))
}

/// Has so many messages be handled at the same time.
fn meet(server: &Running, parties: usize) -> Result<()> {
    let mut streams: Vec<TcpStream> = (0..parties).map(|_| server.connect()).collect();
    for stream in &mut streams {
        stream.write_all(&frame(MEET))?;
    }
    streams.iter_mut().try_for_each(|stream| expect(stream, &frame(MEET)))
}

/// Panics in the middle of three messages, of which the first is answered.
fn panic_often(server: &Running, times: u64) -> Result<()> {
    let (mut swarm, mut sources) = (Swarm::new()?, Sources::new());
    let (mut asked, mut done, mut latest) = (0, 0, Instant::now());
    while done < times {
        while asked < times && swarm.len() < 64 {
            let first = frame(format!("number {asked}").as_bytes());
            let question = [&first[..], &frame(PANIC), &frame(b"after")].concat();
            swarm.add(Ask::new(sources.connect(server.address)?, question, first))?;
            asked += 1;
        }
        let ended = swarm.turn(Duration::from_millis(100))?.len() as u64;
        if ended > 0 {
            (done, latest) = (done + ended, Instant::now());
        }
        ensure!(latest.elapsed() < PATIENCE, "{} connections were not closed", swarm.len());
    }
    Ok(())
}

fn stuck(bench: &Bench) -> Result<String> {
    bench.must_be_ours(NEEDS)?;
    let visitors = bench.measure(50, 5_000);
    let (handler, gate) = Obedient::new(1);
    let second = Duration::from_secs(1);
    let timeouts = Timeouts { message: Some(second), write: Some(second), idle: None };
    let config = Config { workers: 2, timeouts, ..config(Framing::Len32) };
    let server = Running::start(config, handler);
    let stats = server.handle.stats();
    let closed_for = |reason, count| {
        eventually(&format!("{count} closed: {reason:?}"), || Ok(stats.closed_for(reason) == count))
    };
    let first_said = Instant::now();
    let _greedy = say(&server, &frame(MUCH))?;
    eventually("a reply that waits", || Ok(stats.sum(|reactor| &reactor.messages) == 1))?;
    let mut stuck = [say(&server, &frame(WAIT))?, say(&server, &frame(WAIT))?];
    for _ in &stuck {
        gate.arrivals.recv_timeout(PATIENCE)?;
    }
    if stats.closed() > 0 {
        let passed = first_said.elapsed();
        ensure!(passed >= second, "a connection was closed within {passed:.2?}");
        return Err(Skip("the machine is too slow for a deadline of a second".into()).into());
    }
    let mut waits = say(&server, &frame(b"in line"))?;
    let began = Instant::now();
    let mut slow = server.connect();
    slow.write_all(&[9, 0])?;
    (0..visitors).for_each(|_| drop(server.connect()));
    closed_for(Reason::Eof, visitors)?;
    let took = began.elapsed();
    ensure!(slow.read(&mut [0])? == 0, "a frame that is late was answered");
    drop(slow);
    closed_for(Reason::FrameTimeout, 1)?;
    closed_for(Reason::WriteTimeout, 1)?;
    let deadlines = began.elapsed();
    ensure!(stats.sum(|reactor| &reactor.messages) == 1, "a worker was not stuck");
    // Both, because a key lets either through.
    stuck.iter().try_for_each(|_| gate.key.send(()))?;
    stuck.iter_mut().try_for_each(|stream| expect(stream, &frame(WAIT)))?;
    expect(&mut waits, &frame(b"in line"))?;
    Ok(format!(
        "beside 2 of 2 workers, {visitors} connections accepted and closed in {took:.2?}, the frame \
         and write deadlines of 1 s kept within {deadlines:.2?}; then all were answered"
    ))
}

fn late(bench: &Bench) -> Result<String> {
    bench.must_be_ours(NEEDS)?;
    let times = bench.measure(50, 2_000);
    let (handler, gate) = Obedient::new(1);
    let config = Config { workers: 1, io_threads: 1, ..config(Framing::Raw) };
    let server = Running::start(config, handler);
    let (stats, quiet) = (server.handle.stats(), sockets());
    for time in 0..times {
        let first = say(&server, WAIT)?;
        gate.arrivals.recv_timeout(PATIENCE)?;
        let theirs = newcomer(&quiet, &first)?;
        // Both stand below the one that the server is about to leave.
        let next = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        reset(first)?;
        let _plug = File::open("/dev/null")?;
        eventually("the reset", || Ok(!sockets().contains(&theirs)))?;
        let between = sockets();
        let mut second = come(next, server.address)?;
        let own = [WAIT, time.to_string().as_bytes()].concat();
        second.write_all(&own)?;
        eventually("the next one", || Ok(stats.sum(|reactor| &reactor.opened) == 2 * time + 2))?;
        ensure!(newcomer(&between, &second)? == theirs, "its descriptor is not in use again");
        gate.key.send(())?;
        eventually("the late reply", || Ok(stats.sum(|reactor| &reactor.stale) == time + 1))?;
        gate.arrivals.recv_timeout(PATIENCE)?;
        gate.key.send(())?;
        expect(&mut second, &own)?;
        reset(second)?;
        eventually("its close", || Ok(sockets() == quiet))?;
    }
    Ok(format!("{times} of {times} counted, none delivered, each with its descriptor in use again"))
}

fn come(socket: Socket, server: SocketAddr) -> Result<TcpStream> {
    socket.connect(&server.into())?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

/// The server's end of a connection: the one that was not there before.
fn newcomer(before: &BTreeSet<i32>, client: &TcpStream) -> Result<i32> {
    let new = sockets().into_iter().find(|fd| !before.contains(fd) && *fd != client.as_raw_fd());
    new.ok_or_else(|| anyhow::anyhow!("the connection has no other end"))
}

/// The sockets of this process, which is the server's too.
fn sockets() -> BTreeSet<i32> {
    let entries = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let number = |entry: fs::DirEntry| {
        let is_socket = fs::read_link(entry.path()).ok()?.to_str()?.starts_with("socket:");
        entry.file_name().to_str()?.parse().ok().filter(|_| is_socket)
    };
    entries.filter_map(number).collect()
}

fn own_threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// A connection that has said something.
fn say(server: &Running, message: &[u8]) -> Result<TcpStream> {
    let mut stream = server.connect();
    stream.write_all(message)?;
    Ok(stream)
}

fn expect(stream: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    let mut reply = vec![0; bytes.len()];
    stream.read_exact(&mut reply)?;
    ensure!(reply == bytes, "{reply:?} came instead of {bytes:?}");
    Ok(())
}

/// Nobody hears of panics while it is held.
struct Silence(Option<Hook>);

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync>;

impl Silence {
    fn new() -> Silence {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        Silence(Some(loud))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if let Some(loud) = self.0.take() {
            std::panic::set_hook(loud);
        }
    }
}
