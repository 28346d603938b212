//! Faults of the stream: half-closes, slow readers, tiny segments and buffers.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use socket2::SockRef;

use crate::clients::crowd::{Crowd, Manner};
use crate::clients::{blocking, keyed_stream};
use crate::harness::bench::Bench;
use crate::harness::namespace::with_buffers;
use crate::harness::row::Row;
use crate::harness::server::Server;

pub(crate) const ROWS: &[Row] = &[
    Row { id: "F06", fault: "half-close behind many requests", long: false, run: half_closed },
    Row { id: "F10", fault: "slow but honest readers", long: false, run: slow_readers },
    Row { id: "F19", fault: "one-byte segments, tiny buffers", long: false, run: tiny },
];

/// Ours in all ways of handling what is not a single message; others have one.
const WAYS: [&[&str]; 4] =
    [&[], &["--workers", "2"], &["--framing", "line"], &["--framing", "line", "--workers", "2"]];

fn half_closed(bench: &Bench) -> Result<String> {
    let (bytes, little) = (bench.measure(2 << 20, 64 << 20), bench.measure(100, 2000));
    let ways = if bench.is_ours() { &WAYS[..] } else { &WAYS[..1] };
    let mut behind = u64::MAX;
    for way in ways {
        let server = bench.server().flags(way).start()?;
        let stream = server.connect()?;
        behind = behind.min(half_close(stream, bytes).with_context(|| format!("flags {way:?}"))?);
        for _ in 0..little {
            half_close_at_once(&server)?;
        }
    }
    let way = if ways.len() > 1 { " in each of 4 ways" } else { "" };
    Ok(format!(
        "{} MiB came back{way}, then FIN; {} KiB of it after the half-close; so did {little} of {little} \
         single messages",
        bytes >> 20,
        behind >> 10
    ))
}

/// Sends a stream and finishes. Returns how much was not yet back by then. Nothing is read
/// before the server takes no more, so that all buffers are full on the way.
fn half_close(stream: TcpStream, bytes: u64) -> Result<u64> {
    let (sent, received) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            send(&stream, bytes, &sent)?;
            let behind = bytes.saturating_sub(received.load(Relaxed));
            stream.shutdown(Shutdown::Write).context("cannot half-close")?;
            Ok(behind)
        });
        let mut before = u64::MAX;
        while !sender.is_finished() && before != sent.load(Relaxed) {
            before = sent.load(Relaxed);
            thread::sleep(Duration::from_millis(20));
        }
        let read = read_all(&stream, &received, bytes).and_then(|()| must_finish(&stream));
        if read.is_err() {
            // Ends a sender that still waits for room.
            let _ = stream.shutdown(Shutdown::Both);
        }
        let behind: Result<u64> = sender.join().expect("no panic");
        read.and(behind)
    })
}

/// Sends that much of the stream of key 0, and a line break for servers that expect lines.
fn send(mut stream: &TcpStream, bytes: u64, sent: &AtomicU64) -> Result<()> {
    let mut chunk = vec![0; 16 << 10];
    while sent.load(Relaxed) < bytes {
        let most = chunk.len().min((bytes - sent.load(Relaxed)) as usize);
        keyed_stream::fill(0, sent.load(Relaxed), &mut chunk[..most]);
        let count = stream.write(&chunk[..most]).context("cannot send")?;
        sent.fetch_add(count as u64, Relaxed);
    }
    stream.write_all(b"\n").context("cannot send the last byte")
}

/// Reads what [`send`] sends, all of it.
fn read_all(mut stream: &TcpStream, received: &AtomicU64, bytes: u64) -> Result<()> {
    let mut chunk = vec![0; 64 << 10];
    while received.load(Relaxed) <= bytes {
        let before = received.load(Relaxed);
        let count = stream.read(&mut chunk).with_context(|| format!("after {before} bytes"))?;
        ensure!(count > 0, "FIN after {before} of {} bytes", bytes + 1);
        check(before, bytes, &chunk[..count])?;
        received.fetch_add(count as u64, Relaxed);
    }
    Ok(())
}

fn must_finish(mut stream: &TcpStream) -> Result<()> {
    ensure!(stream.read(&mut [0]).context("no FIN")? == 0, "there is no end of bytes");
    Ok(())
}

fn check(position: u64, bytes: u64, chunk: &[u8]) -> Result<()> {
    let (stream, rest) = chunk.split_at(chunk.len().min(bytes.saturating_sub(position) as usize));
    keyed_stream::check(0, position, stream)?;
    ensure!(rest.is_empty() || rest == b"\n", "{} bytes that were not sent", rest.len());
    Ok(())
}

/// A single message, with the FIN right behind it.
fn half_close_at_once(server: &Server) -> Result<()> {
    let mut stream = server.connect()?;
    stream.write_all(b"and goodbye\n")?;
    stream.shutdown(Shutdown::Write)?;
    let mut back = Vec::new();
    stream.read_to_end(&mut back).context("a message and FIN")?;
    ensure!(back == b"and goodbye\n", "{} of 12 bytes of a message came before FIN", back.len());
    Ok(())
}

/// How a slow reader is slow.
struct Pace {
    bytes: u64,
    lasts: Duration,
}

fn slow_readers(bench: &Bench) -> Result<String> {
    // On a busy machine the kernel's timers leave gaps of half a second.
    let (readers, deadline) = bench.measure((4, 1500), (50, 2000));
    let lasts = Duration::from_millis(bench.measure(2500, 6000));
    let pace = Pace { bytes: bench.measure(1 << 20, 8 << 20), lasts };
    let limit = format!("{deadline}ms");
    let server =
        bench.server().flags(&["--write-timeout", &limit, "--idle-timeout", &limit]).start()?;
    let streams: Vec<TcpStream> =
        (0..readers).map(|_| slow_reader(server.address)).collect::<Result<_>>()?;
    let blocked = thread::scope(|scope| {
        let spawn = |stream| scope.spawn(|| read_slowly(stream, &pace));
        let threads: Vec<_> = streams.into_iter().map(spawn).collect();
        let joined = threads.into_iter().map(|thread| thread.join().expect("no panic"));
        joined.collect::<Result<Vec<bool>>>()
    })?;
    server.must_be_alive()?;
    let blocked = blocked.into_iter().filter(|&blocked| blocked).count();
    Ok(format!(
        "{readers} readers of 25 kB/s for {:.1} s{}, then all the rest: every byte exact; \
         {blocked} had the server wait all along",
        lasts.as_secs_f64(),
        if bench.is_ours() { format!(", deadlines of {deadline} ms") } else { String::new() },
    ))
}

fn slow_reader(address: SocketAddr) -> Result<TcpStream> {
    let mut stream = blocking::connect_with_tiny_buffers(address)?;
    blocking::ping(&mut stream).map(|()| stream)
}

/// Reads a little now and then, in the end all the rest. Returns whether the server had to
/// wait all along.
fn read_slowly(stream: TcpStream, pace: &Pace) -> Result<bool> {
    let (sent, received) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        let sender = scope.spawn(|| send(&stream, pace.bytes, &sent));
        let slow = read_now_and_then(&stream, &received, pace);
        let blocked = !sender.is_finished();
        let _ = SockRef::from(&stream).set_recv_buffer_size(1 << 20);
        let read = slow.and_then(|()| read_all(&stream, &received, pace.bytes));
        // Ends a sender that still waits for room.
        let _ = stream.shutdown(if read.is_ok() { Shutdown::Write } else { Shutdown::Both });
        read.and(sender.join().expect("no panic"))?;
        must_finish(&stream).map(|()| blocked)
    })
}

fn read_now_and_then(mut stream: &TcpStream, received: &AtomicU64, pace: &Pace) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < pace.lasts {
        let mut some = [0; 500];
        let count = stream.read(&mut some).context("a slow reader was cut off")?;
        ensure!(count > 0, "a slow reader was closed");
        check(received.load(Relaxed), pace.bytes, &some[..count])?;
        received.fetch_add(count as u64, Relaxed);
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// As small as the kernel allows.
const TINY: Option<usize> = Some(1);

fn tiny(bench: &Bench) -> Result<String> {
    with_buffers([4096, 4096, 4096], || in_tiny_parts(bench))
}

fn in_tiny_parts(bench: &Bench) -> Result<String> {
    let (clients, bytes, more) = bench.measure((4, 5_000, 256 << 10), (10, 100_000, 2 << 20));
    let server = bench.server().start()?;
    let single = Manner { chunk: 1, window: 4096, buffers: TINY };
    let segments = Crowd::connect(server.address, clients, single)?.finish_after(bytes)?;
    let large = Manner { chunk: 16 << 10, window: 64 << 10, buffers: TINY };
    let rest = Crowd::connect(server.address, clients, large)?.finish_after(more)?;
    server.must_be_alive()?;
    Ok(format!("{segments} bytes sent one by one and {rest} through tiny buffers, all exact"))
}
