//! A running server.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::Duration;

use crate::child::{Process, until};
use crate::contender::Contender;
use crate::shape::Shape;
use crate::trouble::{Result, Trouble, failed};

/// The first port that is tried: below those that the kernel gives to clients.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;
/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    pub(crate) port: u16,
}

impl Server {
    /// Starts it with the threads and the core of the shape, and waits until it echoes.
    pub(crate) fn start(contender: &Contender, shape: &Shape) -> Result<Server> {
        let port = free_port()?;
        let words = contender.words(port, shape.threads);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stderr(std::process::Stdio::null());
        contender.prepare(&mut command);
        let process = Process::start(&mut command, shape.is_pinned.then_some(0))?;
        let mut server = Server { process, port };
        let greeting = greeting(contender);
        until(PATIENCE, "it did not answer", || server.answers(greeting))?;
        Ok(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn stop(self) {
        self.process.stop();
    }

    fn answers(&mut self, greeting: &[u8]) -> Result<Option<()>> {
        if let Some(status) = self.process.ended()? {
            return failed(format!("it ended on its own ({status})"));
        }
        let Ok(mut stream) = TcpStream::connect(self.address()) else { return Ok(None) };
        let mut reply = vec![0; greeting.len()];
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(greeting)?;
        stream.read_exact(&mut reply).map_err(|error| unanswered(&error))?;
        match reply == greeting {
            true => Ok(Some(())),
            false => failed("its first reply is wrong"),
        }
    }

    /// How it ended, if it has: that explains the client's errors.
    pub(crate) fn death(&mut self) -> Option<String> {
        let status = self.process.ended().ok()??;
        Some(format!("the server ended on its own ({status})"))
    }
}

fn unanswered(error: &std::io::Error) -> Trouble {
    Trouble::Failed(format!("it accepts but does not echo: {error}"))
}

/// A message in the server's framing.
fn greeting(contender: &Contender) -> &'static [u8] {
    if contender.is_framed() { b"\x01\0\0\0?" } else { b"?" }
}

/// A port without a listener. Each server gets another one until all have been used, so that
/// the closed connections of one server do not delay the next.
fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = (std::process::id() % 50) as u16 * 200;
    for _ in FIRST..LAST {
        let offset = (spread + NEXT.fetch_add(1, Relaxed)) % (LAST - FIRST);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, FIRST + offset)).is_ok() {
            return Ok(FIRST + offset);
        }
    }
    failed(format!("no port from {FIRST} to {LAST} is free"))
}
