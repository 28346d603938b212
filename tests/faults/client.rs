//! What a client does to a server, well or badly.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
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

/// As [`connect`], with a receive buffer so small that the server soon has to wait.
pub fn connect_with_buffer(address: SocketAddr, bytes: usize) -> Result<TcpStream> {
    let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_recv_buffer_size(bytes)?;
    socket.connect_timeout(&address.into(), PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket.into())
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

/// Closes with a RST instead of a FIN.
pub fn reset(stream: TcpStream) -> Result<()> {
    Ok(SockRef::from(&stream).set_linger(Some(Duration::ZERO))?)
}

/// A stream of bytes like no other's, of which each says where it stands, so that a
/// byte that is lost, doubled, moved or from another stream is seen.
pub fn fill(key: u64, position: u64, bytes: &mut [u8]) {
    for (offset, byte) in bytes.iter_mut().enumerate() {
        *byte = byte_of(key, position + offset as u64);
    }
}

/// Compares what has come with the stream of that key.
pub fn check(key: u64, position: u64, bytes: &[u8]) -> Result<()> {
    let differs = bytes
        .iter()
        .enumerate()
        .find(|&(offset, &byte)| byte != byte_of(key, position + offset as u64));
    match differs {
        None => Ok(()),
        Some((offset, &byte)) => {
            let at = position + offset as u64;
            anyhow::bail!("stream {key}: byte {at} is {byte}, not {}", byte_of(key, at))
        }
    }
}

/// Byte `position` of stream `key`: a byte of a hash of both (splitmix64).
fn byte_of(key: u64, position: u64) -> u8 {
    let hash = scramble(key.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (position >> 3));
    hash.to_le_bytes()[position as usize & 7]
}

/// A number that looks random, and is the same for the same number.
pub fn scramble(mut hash: u64) -> u64 {
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}
