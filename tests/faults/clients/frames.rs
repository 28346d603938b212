//! Clients of a server that expects lengths, honest ones and hostile ones.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};

use crate::harness::server::Server;

/// The longest message that the server accepts by default.
const MAX: u32 = 1 << 20;

/// Asserts that each illegal length closes its connection, after the message before it was
/// answered.
pub(crate) fn must_refuse_lengths(server: &Server) -> Result<()> {
    let half = 1 << 31;
    let mut illegal = vec![MAX + 1, half - 1, half];
    illegal.extend(u32::MAX - 4..=u32::MAX);
    for length in &illegal {
        for pieces in [1, 4] {
            let prefix = length.to_le_bytes();
            let reply = refuse(server, prefix.chunks(4 / pieces))?;
            ensure!(
                reply == frame(b"good"),
                "length {length} was answered with {} bytes",
                reply.len()
            );
        }
    }
    Ok(())
}

/// Sends a good message and then the pieces. Returns everything that comes back.
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

/// Sends a message, which must come back.
pub(crate) fn ask(stream: &mut TcpStream, body: &[u8]) -> Result<()> {
    stream.write_all(&frame(body)).context("cannot send")?;
    ensure!(read_frame(stream)? == body, "a wrong answer");
    Ok(())
}

/// A message with its length in front.
fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_le_bytes(), body].concat()
}

fn read_frame(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).context("no answer")?;
    let mut body = vec![0; u32::from_le_bytes(length).min(MAX) as usize];
    stream.read_exact(&mut body).context("half an answer")?;
    Ok(body)
}
