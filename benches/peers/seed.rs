//! Does what the client of the original did: one blocking connection, one message at a time;
//! each is a length and a body in one write, and its reply takes two reads.
//!
//!     seed IP PORT MESSAGES

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::process::ExitCode;

/// The arguments, or `None` if they are wrong.
fn arguments() -> Option<(IpAddr, u16, u64)> {
    let mut words = std::env::args().skip(1);
    let ip = words.next()?.parse().ok()?;
    let port = words.next()?.parse().ok()?;
    let messages = words.next()?.parse().ok()?;
    words.next().is_none().then_some((ip, port, messages))
}

fn check(reply: &[u8], expected: &[u8]) -> io::Result<()> {
    match reply == expected {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "a reply is wrong")),
    }
}

fn talk(stream: &mut TcpStream, messages: u64) -> io::Result<()> {
    let (mut length, mut reply) = ([0; 4], Vec::new());
    for number in 0..messages {
        let body = format!("message number {number}");
        let mut message = (body.len() as u32).to_le_bytes().to_vec();
        message.extend_from_slice(body.as_bytes());
        stream.write_all(&message)?;
        stream.read_exact(&mut length)?;
        check(&length, &message[..4])?;
        reply.resize(body.len(), 0);
        stream.read_exact(&mut reply)?;
        check(&reply, body.as_bytes())?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let Some((ip, port, messages)) = arguments() else {
        eprintln!("usage: seed IP PORT MESSAGES");
        return ExitCode::from(2);
    };
    // A reply that never arrives is a failure, not a reason to wait for ever.
    let patience = Some(std::time::Duration::from_secs(30));
    let result = TcpStream::connect((ip, port)).and_then(|mut stream| {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(patience)?;
        talk(&mut stream, messages)
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
