//! Clients that block, and the ways to connect.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::io::Errno;
use socket2::{Domain, SockRef, Socket, Type};

use crate::harness::server::PATIENCE;

/// A connection whose calls fail instead of blocking forever.
pub(crate) fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// As [`connect`], with buffers on this side that are soon full. Its segments must match,
/// or the kernel waits for more room than there ever is.
pub(crate) fn connect_with_tiny_buffers(address: SocketAddr) -> Result<TcpStream> {
    connect_with(address, |socket| {
        socket.set_recv_buffer_size(4096)?;
        socket.set_send_buffer_size(4096)?;
        socket.set_tcp_mss(1000)
    })
}

/// As [`connect`], with segments and a receive buffer as small as in a wide network. Over
/// loopback the server's kernel alone takes megabytes before the server has to wait.
pub(crate) fn connect_from_afar(address: SocketAddr) -> Result<TcpStream> {
    connect_with(address, |socket| {
        socket.set_tcp_mss(1448)?;
        socket.set_recv_buffer_size(4096)
    })
}

fn connect_with(
    address: SocketAddr,
    set: impl FnOnce(&Socket) -> io::Result<()>,
) -> Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    set(&socket)?;
    socket.connect_timeout(&address.into(), PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

/// Connections that each got a reply, one after the other.
pub(crate) fn connect_some(address: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    let served = |number| {
        let mut stream = connect(address)?;
        ping(&mut stream).with_context(|| format!("connection {number}"))?;
        Ok(stream)
    };
    (1..=count).map(served).collect()
}

/// Sends a few bytes, which must come back.
pub(crate) fn ping(stream: &mut TcpStream) -> Result<()> {
    echo(stream, b"are you there?")
}

/// Sends bytes, few enough for the kernel to hold, which must come back.
pub(crate) fn echo(stream: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    stream.write_all(bytes).context("cannot send")?;
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).context("no whole reply")?;
    ensure!(back == bytes, "the reply differs from what was sent");
    Ok(())
}

/// What a client got.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Served,
    Closed,
    /// Nothing arrived in that time.
    Silence,
}

/// As [`ping`], where no reply may arrive.
pub(crate) fn try_ping(stream: &mut TcpStream, patience: Duration) -> Result<Answer> {
    // It fails if the connection is closed already.
    let _ = stream.write_all(b"?");
    await_answer(stream, patience)
}

/// Waits for the reply to a byte.
pub(crate) fn await_answer(stream: &mut TcpStream, patience: Duration) -> Result<Answer> {
    stream.set_read_timeout(Some(patience))?;
    match stream.read(&mut [0]) {
        Ok(1) => Ok(Answer::Served),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Answer::Silence),
        _ => Ok(Answer::Closed),
    }
}

/// Begins to connect, and does not wait.
pub(crate) fn begin_to_connect(address: SocketAddr) -> Result<TcpStream> {
    Ok(begin(Socket::new(Domain::for_address(address), Type::STREAM, None)?, address)?)
}

/// As [`begin_to_connect`], with a socket that is already set up.
pub(crate) fn begin(socket: Socket, address: SocketAddr) -> io::Result<TcpStream> {
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => Err(error),
        _ => Ok(socket.into()),
    }
}

/// Closes with a RST instead of a FIN.
pub(crate) fn reset(stream: TcpStream) -> Result<()> {
    Ok(SockRef::from(&stream).set_linger(Some(Duration::ZERO))?)
}
