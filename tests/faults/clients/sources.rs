//! Addresses to connect from.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};

use crate::clients::blocking::begin;

/// A source of its own for each connection, so that none has to wait for the TIME_WAIT of
/// another, however many are closed per second.
///
/// The port is chosen here. The kernel would search for one as the socket is bound, which
/// takes longer the more ports are in use.
pub(crate) struct Sources {
    next: u64,
}

/// From the first port that needs no privilege to the ephemeral ports: the kernel chooses no
/// ephemeral port that is bound on any address.
const PORTS: std::ops::Range<u64> = 1024..32_768;
/// 127.1.0.0 and up, apart from the address that everything else uses.
const FIRST: u32 = 0x7f01_0000;
const ADDRESSES: u32 = 0x00fe_0000;

impl Sources {
    /// Starts at a random source, because an earlier run may have left some in TIME_WAIT.
    pub(crate) fn new() -> Sources {
        Sources { next: RandomState::new().hash_one(0) >> 8 }
    }

    /// Begins to connect, and does not wait.
    pub(crate) fn connect(&mut self, server: SocketAddr) -> Result<TcpStream> {
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
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from(self.take()).into())?;
        begin(socket, server)
    }

    fn take(&mut self) -> SocketAddrV4 {
        let ports = PORTS.end - PORTS.start;
        let (address, port) = (self.next / ports, PORTS.start + self.next % ports);
        self.next += 1;
        SocketAddrV4::new(Ipv4Addr::from(FIRST + address as u32 % ADDRESSES), port as u16)
    }
}

/// The port is in use, on this address or on all.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}
