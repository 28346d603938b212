//! What a client does to a server, well or badly.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::io::Errno;
use socket2::{SockRef, Socket};

use crate::server::PATIENCE;

/// A connection whose calls do not last for ever.
pub fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// As [`connect`], with buffers so small on this side that whoever waits for it waits
/// soon. Its segments are to match, or the kernel would wait for more room than there
/// ever is.
pub fn connect_with_tiny_buffers(address: SocketAddr) -> Result<TcpStream> {
    connect_with(address, |socket| {
        socket.set_recv_buffer_size(4096)?;
        socket.set_send_buffer_size(4096)?;
        socket.set_tcp_mss(1000)
    })
}

/// As [`connect`], with segments and a receive buffer as small as on a long way: over
/// loopback the server's kernel alone would take megabytes before the server has to wait.
pub fn connect_from_afar(address: SocketAddr) -> Result<TcpStream> {
    connect_with(address, |socket| {
        socket.set_tcp_mss(1448)?;
        socket.set_recv_buffer_size(4096)
    })
}

fn connect_with(
    address: SocketAddr,
    set: impl FnOnce(&Socket) -> std::io::Result<()>,
) -> Result<TcpStream> {
    let socket = Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    set(&socket)?;
    socket.connect_timeout(&address.into(), PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

/// Connections that were served, one after the other.
pub fn connect_some(address: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    let served = |number| {
        let mut stream = connect(address)?;
        ping(&mut stream).with_context(|| format!("connection {number}"))?;
        Ok(stream)
    };
    (1..=count).map(served).collect()
}

/// Sends a few bytes and wants them back.
pub fn ping(stream: &mut TcpStream) -> Result<()> {
    echo(stream, b"are you there?")
}

/// Sends bytes, few enough for the kernel to hold, and wants them back.
pub fn echo(stream: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    stream.write_all(bytes).context("cannot send")?;
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).context("no whole reply")?;
    ensure!(back == bytes, "the reply differs from what was sent");
    Ok(())
}

/// What came of a question.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Served,
    Closed,
    /// Nothing came in that time.
    Silence,
}

/// As [`ping`], where it may well be in vain.
pub fn try_ping(stream: &mut TcpStream, patience: Duration) -> Result<Answer> {
    // To a connection that is closed already it cannot be sent.
    let _ = stream.write_all(b"?");
    await_answer(stream, patience)
}

/// Waits for a byte that was sent.
pub fn await_answer(stream: &mut TcpStream, patience: Duration) -> Result<Answer> {
    stream.set_read_timeout(Some(patience))?;
    match stream.read(&mut [0]) {
        Ok(1) => Ok(Answer::Served),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Answer::Silence),
        _ => Ok(Answer::Closed),
    }
}

/// Begins to connect, and does not wait.
pub fn begin_to_connect(address: SocketAddr) -> Result<TcpStream> {
    let domain = socket2::Domain::for_address(address);
    let socket = Socket::new(domain, socket2::Type::STREAM.nonblocking(), None)?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => {
            Err(error.into())
        }
        _ => Ok(socket.into()),
    }
}

/// Closes with a RST instead of a FIN.
pub fn reset(stream: TcpStream) -> Result<()> {
    Ok(SockRef::from(&stream).set_linger(Some(Duration::ZERO))?)
}

/// A stream of bytes like no other's, of which each says where it stands, so that a
/// byte that is lost, doubled, moved or from another stream is seen.
pub fn fill(key: u64, position: u64, bytes: &mut [u8]) {
    let mut filled = 0;
    while filled < bytes.len() {
        let at = position + filled as u64;
        let word = &word_of(key, at / 8)[at as usize % 8..];
        let count = word.len().min(bytes.len() - filled);
        bytes[filled..][..count].copy_from_slice(&word[..count]);
        filled += count;
    }
}

/// Compares what has come with the stream of that key.
pub fn check(key: u64, position: u64, bytes: &[u8]) -> Result<()> {
    let mut wanted = vec![0; bytes.len()];
    fill(key, position, &mut wanted);
    if wanted == bytes {
        return Ok(());
    }
    let offset = wanted.iter().zip(bytes).take_while(|(wanted, byte)| wanted == byte).count();
    let (at, byte, wanted) = (position + offset as u64, bytes[offset], wanted[offset]);
    anyhow::bail!("stream {key}: byte {at} is {byte}, not {wanted}")
}

/// Eight bytes of stream `key`: a hash of both numbers.
fn word_of(key: u64, number: u64) -> [u8; 8] {
    scramble(key.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number).to_le_bytes()
}

/// A number that looks random, and is the same for the same number (splitmix64).
pub fn scramble(mut hash: u64) -> u64 {
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}
