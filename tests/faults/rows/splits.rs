//! Faults of the bytes themselves: all values, and every way they may arrive.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use anyhow::{Context, Result, ensure};

use crate::clients::blocking;
use crate::harness::bench::Bench;
use crate::harness::row::Row;

pub(crate) const ROWS: &[Row] =
    &[Row { id: "F13", fault: "all bytes, in every way to split them", long: false, run: bytes }];

/// A way of telling messages apart, and messages that it could trip over: empty ones,
/// and such as begin with NUL or hold a lone CR.
struct Framing {
    name: &'static str,
    frame: fn(&[u8]) -> Vec<u8>,
    awkward: &'static [&'static [u8]],
}

const LEN32: Framing = Framing { name: "len32", frame: len32, awkward: &[b"", b"\0", b"\r\n"] };
const LINE: Framing = Framing {
    name: "line",
    frame: line,
    awkward: &[b"", b"\0a\r", b"\r", b"\0", b"a\rb\xff", b""],
};

fn bytes(bench: &Bench) -> Result<String> {
    let most = bench.measure(9, 15);
    let mut splits = raw(bench, most)?;
    let mut framings = "raw".to_owned();
    for framing in [LEN32, LINE].iter().filter(|_| bench.is_ours()) {
        splits += framed(bench, framing, most).context(framing.name)?;
        framings = format!("{framings}, {}", framing.name);
    }
    Ok(format!("{splits} splits and all 65536 pairs of bytes came back identical ({framings})"))
}

/// Each part is back before the next is sent, so that the server reads it alone.
fn raw(bench: &Bench, most: usize) -> Result<u32> {
    let server = bench.server().start()?;
    let mut stream = server.connect()?;
    all_pairs(&mut stream, <[u8]>::to_vec)?;
    let bytes = &b"\0\0\r\n\xff\n\0ab\r\n\n\0\r\r"[..most];
    for cuts in all_cuts(bytes) {
        for part in parts(bytes, cuts) {
            blocking::echo(&mut stream, part).with_context(|| format!("cut as {cuts:b}"))?;
        }
    }
    must_end(stream).map(|()| all_cuts(bytes).end)
}

/// A part of a message gets no reply. A later message of a neighbour on the same reactor
/// gets one, which shows that the part was read.
fn framed(bench: &Bench, framing: &Framing, most: usize) -> Result<u32> {
    let server = bench.server().flags(&["--framing", framing.name, "--io-threads", "1"]).start()?;
    let (mut stream, mut neighbour) = (server.connect()?, server.connect()?);
    all_pairs(&mut stream, framing.frame)?;
    let bytes = framing.some(most);
    for cuts in all_cuts(&bytes) {
        for part in parts(&bytes, cuts) {
            stream.write_all(part)?;
            blocking::echo(&mut neighbour, &(framing.frame)(b"?"))?;
        }
        must_come(&mut stream, &bytes).with_context(|| format!("cut as {cuts:b}"))?;
    }
    must_end(stream).map(|()| all_cuts(&bytes).end)
}

impl Framing {
    /// As many of the awkward messages as are no longer than that.
    fn some(&self, most: usize) -> Vec<u8> {
        let append = |all: Vec<u8>, message: &&[u8]| [all, (self.frame)(message)].concat();
        (0..=self.awkward.len())
            .map(|count| self.awkward[..count].iter().fold(Vec::new(), append))
            .rfind(|all| all.len() <= most)
            .unwrap_or_default()
    }
}

fn len32(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_le_bytes(), message].concat()
}

fn line(message: &[u8]) -> Vec<u8> {
    [message, b"\n"].concat()
}

/// Every byte beside every other, in 256 messages, which as lines are some more.
fn all_pairs(stream: &mut TcpStream, frame: fn(&[u8]) -> Vec<u8>) -> Result<()> {
    for one in 0..=u8::MAX {
        let pairs: Vec<u8> = (0..=u8::MAX).flat_map(|other| [one, other]).collect();
        blocking::echo(stream, &frame(&pairs)).with_context(|| format!("pairs with {one}"))?;
    }
    Ok(())
}

/// A bit for each gap between two bytes: whether it is cut there.
fn all_cuts(bytes: &[u8]) -> std::ops::Range<u32> {
    0..1 << (bytes.len() - 1)
}

fn parts(bytes: &[u8], cuts: u32) -> impl Iterator<Item = &[u8]> {
    let is_cut = move |gap: usize| cuts >> gap & 1 == 1;
    let ends = (1..=bytes.len()).filter(move |&end| end == bytes.len() || is_cut(end - 1));
    ends.scan(0, |begin, end| Some(&bytes[std::mem::replace(begin, end)..end]))
}

fn must_come(stream: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).context("no whole reply")?;
    ensure!(back == bytes, "{back:?} came back for {bytes:?}");
    Ok(())
}

/// Nothing came beside what was wanted.
fn must_end(mut stream: TcpStream) -> Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).context("no FIN")?;
    ensure!(rest.is_empty(), "{} bytes too many", rest.len());
    Ok(())
}
