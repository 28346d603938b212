//! Opens connections, at their pace and from their sources.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Instant;

use socket2::{Domain, Protocol, Socket, Type};

use crate::load::Plan;
use crate::load::lane::Failure;
use crate::net::sys;

/// Opens the connections of one thread.
#[derive(Debug)]
pub(crate) struct Opener {
    plan: Plan,
    /// The number of the thread, and of its first connection; the others follow in
    /// steps of the number of threads.
    number: usize,
    pub(crate) began: Instant,
    /// How many of the connections of the plan were tried.
    tried: usize,
    /// How many sockets there ever were: they take turns with the sources.
    sockets: u64,
    /// How many connections are neither open nor given up.
    pub(crate) connecting: usize,
}

/// How many connections a thread has being opened at once, so that the server's queue of
/// those who wait to be accepted does not run over.
pub const CONNECTING: usize = 256;

impl Opener {
    pub(crate) fn new(plan: &Plan, number: usize) -> Opener {
        let (tried, sockets, connecting) = Default::default();
        let (plan, began) = (plan.clone(), Instant::now());
        Opener { plan, number, began, tried, sockets, connecting }
    }

    /// How many may be tried now: one that fails at once is no longer connecting.
    pub(crate) fn room(&self) -> usize {
        CONNECTING.saturating_sub(self.connecting)
    }

    /// When the next connection is to be opened, if one is left.
    pub(crate) fn due(&self) -> Option<Instant> {
        let is_left = self.tried < self.plan.connections;
        is_left.then(|| self.began + self.plan.opens_after(self.next_number()))
    }

    /// Whether all were tried, and are open or given up.
    pub(crate) fn is_done(&self) -> bool {
        self.connecting == 0 && self.tried == self.plan.connections
    }

    /// The number of the next connection, which is opened now.
    pub(crate) fn next(&mut self) -> u32 {
        let number = self.next_number();
        self.tried += 1;
        number as u32
    }

    fn next_number(&self) -> usize {
        self.number + self.tried * self.plan.threads
    }

    /// Starts to connect.
    pub(crate) fn connect(&mut self) -> Result<TcpStream, Failure> {
        let turn = self.number as u64 + self.sockets * self.plan.threads as u64;
        self.sockets += 1;
        connect(self.plan.target, self.plan.sources.of(turn))
    }
}

/// Starts to connect a non-blocking socket.
fn connect(target: SocketAddr, source: Option<IpAddr>) -> Result<TcpStream, Failure> {
    let socket = socket(target).map_err(Failure::Connect)?;
    if let Some(ip) = source {
        bind(&socket, ip).map_err(|error| Failure::Source(ip, error))?;
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

/// The port is chosen on connecting: one that is chosen before is nobody else's for
/// a minute, whatever their peer.
fn bind(socket: &Socket, ip: IpAddr) -> io::Result<()> {
    sys::choose_port_on_connecting(socket.as_fd())?;
    socket.bind(&SocketAddr::new(ip, 0).into())
}
