//! Faults of framing: messages that never end, and lengths that lie.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::bench::Bench;
use crate::row::Row;
use crate::server::Server;
use crate::slowloris::Slowloris;

pub const ROWS: &[Row] = &[
    Row { id: "F11", fault: "a byte at a time inside a frame", long: false, run: slow_frames },
    Row { id: "F12", fault: "hostile lengths", long: false, run: hostile_lengths },
];

fn slow_frames(bench: &Bench) -> Result<String> {
    bench.must_be_ours("raw echo has no frames")?;
    let (count, deadline, beat) = bench.measure((50, 500, 100), (200, 5000, 1000));
    let (deadline, beat) = (Duration::from_millis(deadline), Duration::from_millis(beat));
    let flag = format!("{}ms", deadline.as_millis());
    let server = bench.server().flags(&["--framing", "len32", "--frame-timeout", &flag]).start()?;
    let mut idle = (0..count).map(|_| server.connect()).collect::<Result<Vec<_>>>()?;
    // Half of them have said something before.
    idle.iter_mut().step_by(2).try_for_each(|stream| ask(stream, b"hello"))?;
    let before = server.descriptors_at_rest()?;
    let mut slow = Slowloris::connect(server.address, count)?;
    let began = Instant::now();
    while slow.len() > 0 {
        slow.drip(beat)?;
        ensure!(began.elapsed() < 5 * deadline, "{} of {count} are not closed", slow.len());
    }
    let lasted = |pick: fn(_, _) -> _| slow.lasted.iter().copied().reduce(pick).unwrap_or_default();
    let (first, last) = (lasted(Duration::min), lasted(Duration::max));
    let figure = format!("{count} closed after {first:.2?} to {last:.2?}, {count} idle ones not");
    ensure!(first >= deadline, "too early: {figure}");
    idle.iter_mut().try_for_each(|stream| ask(stream, b"still here")).context("an idle one")?;
    server.descriptors_back_to(before)?;
    Ok(figure)
}

/// The longest message that the server accepts in this row.
const MAX: u32 = 1 << 20;
/// The same for lengths that are accepted, and lie all the same.
const LARGEST: u32 = 1 << 31;

fn hostile_lengths(bench: &Bench) -> Result<String> {
    bench.must_be_ours("raw echo has no lengths")?;
    let server = bench.server().flags(&["--framing", "len32", "--max-message", "1m"]).start()?;
    let mut bystander = server.connect()?;
    let illegal = refuse_lengths(&server)?;
    for length in [0, 1, MAX] {
        ask(&mut server.connect()?, &vec![7; length as usize])
            .with_context(|| length.to_string())?;
    }
    let count = bench.measure(100, 1000);
    let mut held = hold(&server, &vec![MAX; count])?;
    ask(&mut bystander, b"unharmed")?;
    drop(server);
    let server = bench.server().flags(&["--framing", "len32", "--max-message", "2g"]).start()?;
    let lies: Vec<u32> = [LARGEST - 1, LARGEST].into_iter().cycle().take(count).collect();
    held = held.max(hold(&server, &lies)?);
    let figure = format!(
        "3 legal ones answered, {illegal} illegal ones closed, {} KiB reserved for {count} times 2 GiB announced",
        held >> 10
    );
    ensure!(held <= count as u64 * ANNOUNCER + SLACK, "{figure}");
    Ok(figure)
}

/// What may be held for a peer that has announced a message and sent nothing of it, and
/// for all of them together.
const ANNOUNCER: u64 = 1 << 10;
const SLACK: u64 = 2 << 20;

/// That every illegal length closes its connection, after what came before it was
/// answered. Says how many there are.
pub fn refuse_lengths(server: &Server) -> Result<usize> {
    let half = 1 << 31;
    let mut illegal = vec![MAX + 1, half - 1, half];
    illegal.extend(u32::MAX - 4..=u32::MAX);
    for length in &illegal {
        for pieces in [1, 4] {
            let prefix = length.to_le_bytes();
            let reply = refuse(server, prefix.chunks(4 / pieces))?;
            ensure!(reply == frame(b"good"), "length {length} was met with {} bytes", reply.len());
        }
    }
    Ok(illegal.len())
}

/// Sends something good and then that, and returns all that comes before the end.
fn refuse<'a>(server: &Server, pieces: impl Iterator<Item = &'a [u8]>) -> Result<Vec<u8>> {
    let mut stream = server.connect()?;
    stream.write_all(&frame(b"good"))?;
    for piece in pieces {
        stream.write_all(piece)?;
    }
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).context("no orderly end")?;
    Ok(reply)
}

/// Has a connection announce each of those lengths and send nothing of it. Says how
/// much more address space the server has then: memory that is reserved and not yet
/// touched is no part of what is resident.
fn hold(server: &Server, lengths: &[u32]) -> Result<u64> {
    let connect = |_| {
        let mut stream = server.connect()?;
        ask(&mut stream, b"hello")?;
        Ok(stream)
    };
    let mut streams = lengths.iter().map(connect).collect::<Result<Vec<_>>>()?;
    let before = server.reserved();
    for (stream, length) in streams.iter_mut().zip(lengths) {
        // In one piece, so that the answer to the first tells that both were read.
        stream.write_all(&[frame(b"good"), length.to_le_bytes().to_vec()].concat())?;
        ensure!(read_frame(stream)? == b"good", "a wrong answer");
    }
    Ok(server.reserved().saturating_sub(before))
}

/// Sends a message, and wants it back.
pub fn ask(stream: &mut TcpStream, body: &[u8]) -> Result<()> {
    stream.write_all(&frame(body)).context("cannot send")?;
    ensure!(read_frame(stream)? == body, "a wrong answer");
    Ok(())
}

/// A message with its length in front.
pub fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_le_bytes(), body].concat()
}

fn read_frame(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).context("no answer")?;
    let mut body = vec![0; u32::from_le_bytes(length).min(MAX) as usize];
    stream.read_exact(&mut body).context("half an answer")?;
    Ok(body)
}
