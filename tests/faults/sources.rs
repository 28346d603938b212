//! Addresses to connect from.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};

use anyhow::{Context, Result};
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

/// A source of its own for each connection, so that however many are closed a second,
/// none has to wait for the TIME_WAIT of another.
///
/// The port is chosen here: the kernel would choose it as the socket is bound, and
/// look longer the more it has given away.
pub struct Sources {
    next: u64,
}

/// From the first port that needs no privilege to those that the kernel gives away: it
/// gives none away that somebody has bound, on whatever address.
const PORTS: std::ops::Range<u64> = 1024..32_768;
/// 127.1.0.0 and up, away from the address that everybody else uses.
const FIRST: u32 = 0x7f01_0000;
const ADDRESSES: u32 = 0x00fe_0000;

impl Sources {
    /// Begins anywhere, to keep away from what an earlier run has left in TIME_WAIT.
    pub fn new() -> Sources {
        Sources { next: RandomState::new().hash_one(0) >> 8 }
    }

    /// A non-blocking connection that is on its way.
    pub fn connect(&mut self, server: SocketAddr) -> Result<TcpStream> {
        let mut result = self.try_connect(server);
        for _ in 0..100 {
            match &result {
                Err(error) if is_taken(error) => result = self.try_connect(server),
                _ => break,
            }
        }
        result.context("cannot connect")
    }

    fn try_connect(&mut self, server: SocketAddr) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from(self.take()).into())?;
        match socket.connect(&server.into()) {
            Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => {
                Err(error)
            }
            _ => Ok(socket.into()),
        }
    }

    fn take(&mut self) -> SocketAddrV4 {
        let ports = PORTS.end - PORTS.start;
        let (address, port) = (self.next / ports, PORTS.start + self.next % ports);
        self.next += 1;
        SocketAddrV4::new(Ipv4Addr::from(FIRST + address as u32 % ADDRESSES), port as u16)
    }
}

/// Somebody else has the port, on this address or on all.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}
