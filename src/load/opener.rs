//! Opens connections, at the planned rate and from the planned sources.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::load::failure::Failure;
use crate::load::lost::LostSequences;
use crate::load::plan::Plan;
use crate::load::sequence::Sequence;
use crate::load::socket_options;

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
    /// How many connections took their source in turn, which chooses that of the next.
    turns: u64,
    /// How many sources are skipped, because they had no port free.
    skipped: u64,
    /// How many connections are being opened.
    pub(crate) connecting: usize,
    /// The sequences that wait for a connection: those whose last one is closed, or that
    /// found no local port free. They come before connections that were not tried.
    pub(crate) waiting: VecDeque<Sequence>,
    /// The sequences whose connection is lost.
    pub(crate) lost: LostSequences,
    /// When the first of these is tried.
    retry_at: Instant,
    /// Since when there is no local port left, if there is none.
    short_since: Option<Instant>,
    /// How often there was no local port left.
    pub(crate) port_shortages: u64,
}

/// What an attempt to open a connection came to.
#[derive(Debug)]
pub(crate) enum Attempt {
    Started(TcpStream, Sequence),
    Failed(Failure, Sequence),
    /// No local port is free on the sources that were tried. It is tried again later.
    Postponed,
}

/// How many sources are tried for one connection. The kernel searches all ports of a source that
/// has none free, and meanwhile the thread receives nothing.
const MOST_TRIED: u64 = 16;
/// How long after a try that finds no port on these sources the next one follows.
const RETRY: Duration = Duration::from_millis(100);
/// How long a load waits without one port coming free. The kernel keeps the port of a
/// closed connection for a minute, in TIME_WAIT.
const PORT_PATIENCE: Duration = Duration::from_secs(65);

/// How many connections a thread opens at once, so that the server's accept queue does
/// not overflow.
pub const MAX_CONNECTING: usize = 256;

impl Opener {
    pub(crate) fn new(plan: &Plan, number: usize) -> Opener {
        let began = Instant::now();
        Opener {
            plan: plan.clone(),
            number,
            began,
            tried: 0,
            turns: 0,
            skipped: 0,
            connecting: 0,
            waiting: VecDeque::new(),
            lost: LostSequences::new(plan),
            retry_at: began,
            short_since: None,
            port_shortages: 0,
        }
    }

    /// The server's port.
    pub(crate) fn port(&self) -> u16 {
        self.plan.target.port()
    }

    /// How many more connections may be opened at once.
    pub(crate) fn room(&self) -> usize {
        MAX_CONNECTING.saturating_sub(self.connecting)
    }

    /// When the next connection must be opened, if one is left.
    pub(crate) fn due(&self) -> Option<Instant> {
        let is_left = self.tried < self.plan.connections;
        let next = match self.waiting.is_empty() {
            true => is_left.then(|| self.began + self.plan.opens_after(self.next_number())),
            false => Some(self.retry_at),
        };
        [next, self.lost.due()].into_iter().flatten().min()
    }

    /// The sequences that have no connection, but will have one.
    pub(crate) fn queue(&self) -> impl Iterator<Item = &Sequence> {
        self.waiting.iter().chain(self.lost.iter())
    }

    pub(crate) fn queue_mut(&mut self) -> impl Iterator<Item = &mut Sequence> {
        self.waiting.iter_mut().chain(self.lost.iter_mut())
    }

    pub(crate) fn has_queue(&self) -> bool {
        !self.waiting.is_empty() || !self.lost.is_empty()
    }

    pub(crate) fn take_queue(&mut self) -> impl Iterator<Item = Sequence> + use<> {
        std::mem::take(&mut self.waiting).into_iter().chain(self.lost.take_all())
    }

    /// Starts to open the next connection, from the next source that has a port free.
    pub(crate) fn open_next(&mut self) -> Attempt {
        let queued = self.lost.take_due(Instant::now()).or_else(|| self.waiting.pop_front());
        let sequence = queued.unwrap_or_else(|| Sequence::new(self.take_number()));
        match self.connect() {
            Ok(socket) => {
                self.short_since = None;
                Attempt::Started(socket, sequence)
            }
            Err(Failure::NoPort(error)) => self.postpone(sequence, error),
            Err(failure) => Attempt::Failed(failure, sequence),
        }
    }

    /// Puts a sequence first in line again, unless it has waited for too long already.
    /// A connection that replaces another waits for as long as a port stays in TIME_WAIT. A
    /// first one does not: the ports are those of connections that stay open.
    fn postpone(&mut self, sequence: Sequence, error: io::Error) -> Attempt {
        let now = Instant::now();
        self.port_shortages += u64::from(self.short_since.is_none());
        let since = *self.short_since.get_or_insert(now);
        let patience = match sequence.has_not_begun() {
            true => self.plan.connect_timeout,
            false => self.plan.connect_timeout.max(PORT_PATIENCE),
        };
        if now >= since + patience {
            return Attempt::Failed(Failure::NoPort(error), sequence);
        }
        self.waiting.push_front(sequence);
        self.retry_at = now + RETRY;
        Attempt::Postponed
    }

    /// Takes the number of the next planned connection.
    fn take_number(&mut self) -> u32 {
        let number = self.next_number();
        self.tried += 1;
        number as u32
    }

    fn next_number(&self) -> usize {
        self.number + self.tried * self.plan.threads
    }

    /// Starts to connect from the next source, or from another if that one has no port free.
    fn connect(&mut self) -> Result<TcpStream, Failure> {
        let (target, sources) = (self.plan.target, &self.plan.sources);
        let turn = self.number as u64 + self.turns * self.plan.threads as u64;
        let mut others = 1..sources.count().min(MOST_TRIED);
        let mut result = connect(target, sources.nth(turn + self.skipped));
        while let (Err(Failure::NoPort(_)), Some(other)) = (&result, others.next()) {
            result = connect(target, sources.nth(turn + self.skipped + other));
        }
        match result {
            // The next try begins with other sources, if there are more.
            Err(Failure::NoPort(_)) => self.skipped += MOST_TRIED,
            _ => self.turns += 1,
        }
        result
    }
}

/// Starts to connect a non-blocking socket.
fn connect(target: SocketAddr, source: Option<SocketAddr>) -> Result<TcpStream, Failure> {
    let socket = socket(target).map_err(Failure::Connect)?;
    socket_options::set(&socket, source.is_some());
    if let Some(source) = source {
        socket.bind(&source.into()).map_err(|error| match error.kind() {
            // The kernel chose a port on binding, because it cannot do so later.
            io::ErrorKind::AddrInUse => Failure::NoPort(error),
            _ => Failure::Source(source, error),
        })?;
    }
    match socket.connect(&target.into()) {
        Err(error)
            if error.kind() == io::ErrorKind::AddrNotAvailable
                && (source.is_some() || has_address_for(target)) =>
        {
            Err(Failure::NoPort(error))
        }
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => {
            Err(Failure::Connect(error))
        }
        _ => Ok(socket.into()),
    }
}

fn socket(target: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(target);
    Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))
}

/// Whether this machine has an address to reach the target from. Without one the error is the
/// same as without a port. Nothing is sent.
fn has_address_for(target: SocketAddr) -> bool {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(target)).is_ok()
}
