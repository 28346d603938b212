//! Opens connections, at the planned rate and from the planned sources.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Instant;

use socket2::{Domain, Protocol, Socket, Type};

use crate::load::failure::Failure;
use crate::load::plan::Plan;
use crate::net::sys;

/// Opens the connections of one thread.
#[derive(Debug)]
pub(crate) struct Opener {
    plan: Plan,
    /// The number of the thread, and of its first connection. Its other connections
    /// follow at intervals of the number of threads.
    number: usize,
    pub(crate) began: Instant,
    /// How many of the planned connections were tried.
    tried: usize,
    /// How many sockets were created, which choose the source of the next.
    sockets: u64,
    /// How many connections are being opened.
    pub(crate) connecting: usize,
}

/// How many connections a thread opens at once, so that the server's accept queue does
/// not overflow.
pub const MAX_CONNECTING: usize = 256;

impl Opener {
    pub(crate) fn new(plan: &Plan, number: usize) -> Opener {
        let (tried, sockets, connecting) = Default::default();
        let (plan, began) = (plan.clone(), Instant::now());
        Opener { plan, number, began, tried, sockets, connecting }
    }

    /// How many more connections may be opened at once.
    pub(crate) fn room(&self) -> usize {
        MAX_CONNECTING.saturating_sub(self.connecting)
    }

    /// When the next planned connection is to be opened, if one is left.
    pub(crate) fn due(&self) -> Option<Instant> {
        let is_left = self.tried < self.plan.connections;
        is_left.then(|| self.began + self.plan.opens_after(self.next_number()))
    }

    /// Whether all planned connections are open or have failed.
    pub(crate) fn is_done(&self) -> bool {
        self.connecting == 0 && self.tried == self.plan.connections
    }

    /// Takes the number of the next planned connection.
    pub(crate) fn take_number(&mut self) -> u32 {
        let number = self.next_number();
        self.tried += 1;
        number as u32
    }

    fn next_number(&self) -> usize {
        self.number + self.tried * self.plan.threads
    }

    /// Starts to connect from the next source.
    pub(crate) fn connect(&mut self) -> Result<TcpStream, Failure> {
        let socket = self.number as u64 + self.sockets * self.plan.threads as u64;
        self.sockets += 1;
        connect(self.plan.target, self.plan.sources.nth(socket))
    }
}

/// Starts to connect a non-blocking socket.
fn connect(target: SocketAddr, source: Option<SocketAddr>) -> Result<TcpStream, Failure> {
    let socket = socket(target).map_err(Failure::Connect)?;
    if let Some(source) = source {
        bind(&socket, source).map_err(|error| Failure::Source(source, error))?;
    }
    match socket.connect(&target.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => {
            Err(Failure::Connect(error))
        }
        _ => Ok(socket.into()),
    }
}

fn socket(target: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(target);
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

/// The kernel chooses the port on connecting. A port that it chose on binding could not
/// be used for another peer.
fn bind(socket: &Socket, source: SocketAddr) -> io::Result<()> {
    sys::choose_port_on_connecting(socket.as_fd())?;
    socket.bind(&source.into())
}
