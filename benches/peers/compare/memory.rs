//! Measures memory per connection, idle and after each has echoed once.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::child::until;
use crate::contender::Contender;
use crate::measurement::Measurement;
use crate::server::Server;
use crate::shape::Shape;
use crate::sys;
use crate::trouble::{Result, Trouble};

/// The message that each connection echoes.
static MESSAGE: [u8; 64 * 1024] = [b'm'; 64 * 1024];
/// A source address has some 28,000 ports, and is slow beyond half of them.
const PER_ADDRESS: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(30);
/// The time between two readings of the memory, which is settled when they are equal.
const PAUSE: Duration = Duration::from_millis(200);

/// Measures a server once, with `count` connections.
pub(crate) fn measure(contender: &Contender, shape: &Shape, count: usize) -> Result<Measurement> {
    let server = Server::start(contender, shape)?;
    // What the server allocates once is allocated from here on.
    for _ in 0..2 {
        echo(&mut TcpStream::connect(server.address())?)?;
    }
    let base = settled(server.id())?;
    let mut streams = open(&server, count)?;
    let idle = settled(server.id())?;
    for stream in &mut streams {
        interruptible(echo(stream))?;
    }
    let used = settled(server.id())?;
    server.stop();
    let each = |now: u64| now.saturating_sub(base) as f64 / count as f64;
    Ok(Measurement {
        held: Some(count as f64),
        idle: Some(each(idle)),
        used: Some(each(used)),
        ..Measurement::default()
    })
}

/// Opens `count` connections and waits until the server has accepted all of them: the kernel
/// completes a connect before that.
fn open(server: &Server, count: usize) -> Result<Vec<TcpStream>> {
    let before = descriptors(server.id())?;
    let mut streams = Vec::with_capacity(count);
    for number in 0..count {
        streams.push(interruptible(connect(number, server.address()))?);
    }
    until(PATIENCE, "not all connections are accepted", || {
        Ok((descriptors(server.id())? >= before + count).then_some(()))
    })?;
    Ok(streams)
}

fn connect(number: usize, server: SocketAddr) -> io::Result<TcpStream> {
    let last = 2 + (number / PER_ADDRESS) as u8;
    let source = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    sys::choose_port_on_connecting(socket.as_fd())?;
    socket.bind(&source.into())?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(&server.into())?;
    Ok(socket.into())
}

fn echo(stream: &mut TcpStream) -> io::Result<()> {
    let mut reply = vec![0; MESSAGE.len()];
    stream.write_all(&MESSAGE)?;
    stream.read_exact(&mut reply)?;
    match reply == MESSAGE {
        true => Ok(()),
        false => Err(io::Error::other("a reply is wrong")),
    }
}

fn interruptible<T>(result: io::Result<T>) -> Result<T> {
    if sys::is_interrupted() { Err(Trouble::Interrupted) } else { Ok(result?) }
}

fn descriptors(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Bytes of memory of a process, once they no longer change.
fn settled(pid: u32) -> Result<u64> {
    let mut before = 0;
    until(PATIENCE, "the server's memory does not settle", || {
        std::thread::sleep(PAUSE);
        let now = resident(pid)?;
        let is_still = before == now;
        before = now;
        Ok(is_still.then_some(now))
    })
}

fn resident(pid: u32) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| Trouble::Failed("smaps_rollup has no Rss".to_owned()))
}
