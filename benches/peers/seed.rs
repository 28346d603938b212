//! Does what the client of the original did: one blocking connection, one message at a time;
//! each is a length and a body in one write, and its reply takes two reads.
//!
//!     seed IP PORT MESSAGES FILE
//!
//! Writes to the file how long each message took, in nanoseconds, as `u32` in little-endian.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::process::ExitCode;
use std::time::Instant;

/// What the command line says.
struct Arguments {
    ip: IpAddr,
    port: u16,
    messages: u64,
    file: String,
}

impl Arguments {
    /// The arguments, or `None` if they are wrong.
    fn from_command_line() -> Option<Arguments> {
        let mut words = std::env::args().skip(1);
        let ip = words.next()?.parse().ok()?;
        let port = words.next()?.parse().ok()?;
        let messages = words.next()?.parse().ok()?;
        let file = words.next()?;
        words.next().is_none().then_some(Arguments { ip, port, messages, file })
    }
}

fn check(reply: &[u8], expected: &[u8]) -> io::Result<()> {
    match reply == expected {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "a reply is wrong")),
    }
}

/// Sends that many messages, one after the other's reply. Returns how long each took.
fn talk(stream: &mut TcpStream, messages: u64) -> io::Result<Vec<u32>> {
    let (mut length, mut reply) = ([0; 4], Vec::new());
    let mut times = Vec::with_capacity(messages as usize);
    let mut before = Instant::now();
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
        let now = Instant::now();
        times.push(u32::try_from((now - before).as_nanos()).unwrap_or(u32::MAX));
        before = now;
    }
    Ok(times)
}

fn run(arguments: &Arguments) -> io::Result<()> {
    let mut stream = TcpStream::connect((arguments.ip, arguments.port))?;
    stream.set_nodelay(true)?;
    // A reply that never arrives is a failure, not a reason to wait for ever.
    stream.set_read_timeout(Some(std::time::Duration::from_secs(30)))?;
    let times = talk(&mut stream, arguments.messages)?;
    let bytes: Vec<u8> = times.iter().flat_map(|time| time.to_le_bytes()).collect();
    std::fs::write(&arguments.file, bytes)
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::from_command_line() else {
        eprintln!("usage: seed IP PORT MESSAGES FILE");
        return ExitCode::from(2);
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
