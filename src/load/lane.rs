//! One connection of a load.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Instant;

use hdrhistogram::Histogram;
use socket2::{Domain, Protocol, Socket, Type};

use crate::codec::{Frame, TooLong};
use crate::connection::{Connection, Received};
use crate::load::script::Script;
use crate::poll::Interest;

/// One connection: what it has asked, and what was answered.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) connection: Connection,
    pub(crate) phase: Phase,
    /// What epoll was told to watch for, once it was told.
    pub(crate) watched: Option<Interest>,
    number: u32,
    asked: u64,
    answered: u64,
    /// When each message that is not answered yet was sent, oldest first.
    asked_at: VecDeque<Instant>,
    /// When its phase began.
    since: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Until the socket is writable.
    Connecting,
    /// Open, until all the others are.
    Ready,
    /// Asking, and waiting for replies.
    Talking,
    /// All is answered, and the server was told that no more will come. A byte
    /// that still arrives is one too many.
    Leaving,
}

/// What ends a connection before its time.
#[derive(Debug)]
pub(crate) enum Failure {
    Connect(io::Error),
    ConnectTimeout,
    Broken(io::Error),
    /// The server has closed it, with so many replies missing.
    Closed(u64),
    Timeout,
    /// The server was told that no more will come, and has not closed.
    NotClosed,
    /// What came back is wrong.
    Mismatch(String),
}

const NO_PORTS: &str = "the local ports are used up (net.ipv4.ip_local_port_range), \
                        and those of closed connections rest for a minute";

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Connect(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                write!(f, "cannot connect: {error}; {NO_PORTS}")
            }
            Failure::Connect(error) => write!(f, "cannot connect: {error}"),
            Failure::ConnectTimeout => write!(f, "cannot connect: no answer in time"),
            Failure::Broken(error) => write!(f, "the connection broke: {error}"),
            Failure::Closed(missing) => {
                write!(f, "the server closed a connection that had {missing} unanswered")
            }
            Failure::Timeout => write!(f, "no reply in time"),
            Failure::NotClosed => write!(f, "the server did not close after the last reply"),
            Failure::Mismatch(what) => write!(f, "wrong bytes: {what}"),
        }
    }
}

impl Lane {
    /// Starts to connect.
    pub(crate) fn connect(target: SocketAddr, number: u32, now: Instant) -> Result<Lane, Failure> {
        Ok(Lane {
            connection: Connection::new(connect(target).map_err(Failure::Connect)?),
            phase: Phase::Connecting,
            watched: None,
            number,
            asked: 0,
            answered: 0,
            asked_at: VecDeque::new(),
            since: now,
        })
    }

    /// The socket is writable for the first time: the connection is open, or not.
    pub(crate) fn connected(&mut self) -> Result<(), Failure> {
        match self.connection.socket().take_error() {
            Ok(None) => {
                self.phase = Phase::Ready;
                Ok(())
            }
            Ok(Some(error)) | Err(error) => Err(Failure::Connect(error)),
        }
    }

    /// What to watch for. Unlike a server it reads even while it cannot write:
    /// if both sides waited for the other to read, neither would go on.
    pub(crate) fn interest(&self) -> Interest {
        match self.phase {
            Phase::Connecting => Interest::WRITABLE,
            _ if self.connection.has_unsent() => Interest::READABLE | Interest::WRITABLE,
            _ => Interest::READABLE,
        }
    }

    /// Since when something is waited for.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        match self.phase {
            Phase::Connecting | Phase::Leaving => Some(self.since),
            Phase::Ready => None,
            Phase::Talking => self.asked_at.front().copied(),
        }
    }

    /// Asks until `pipeline` messages are unanswered or `most` were ever asked,
    /// with one write; `out` is room for them. With nothing left to ask or to be
    /// answered, it takes its leave.
    pub(crate) fn ask(
        &mut self,
        script: &Script,
        pipeline: usize,
        most: u64,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        out.clear();
        while self.asked_at.len() < pipeline && self.asked < most {
            script.ask(self.number, self.asked, out);
            self.asked_at.push_back(now);
            self.asked += 1;
        }
        if self.asked_at.is_empty() {
            return self.leave(now);
        }
        if out.is_empty() { Ok(()) } else { self.connection.send(out).map_err(Failure::Broken) }
    }

    /// Reads once, and checks the replies. `None` says that it is over, as it
    /// should be.
    pub(crate) fn read(
        &mut self,
        script: &Script,
        scratch: &mut [u8],
        latency: &mut Histogram<u64>,
    ) -> Result<Option<Instant>, Failure> {
        let received = self.connection.receive(scratch).map_err(Failure::Broken)?;
        let now = Instant::now();
        match received {
            Received::NotYet => {}
            Received::Eof if self.phase == Phase::Leaving => return Ok(None),
            Received::Eof => return Err(Failure::Closed(self.asked_at.len() as u64)),
            Received::Bytes(count) => {
                self.take_in(script, &scratch[..count], |sent| {
                    latency.saturating_record((now - sent).as_nanos() as u64);
                })?;
            }
        }
        Ok(Some(now))
    }

    /// What it means that nothing has come for too long.
    pub(crate) fn overdue(&self) -> Failure {
        match self.phase {
            Phase::Connecting => Failure::ConnectTimeout,
            Phase::Leaving => Failure::NotClosed,
            Phase::Ready | Phase::Talking => Failure::Timeout,
        }
    }

    /// How many replies have come, all of them right.
    pub(crate) fn answered(&self) -> u64 {
        self.answered
    }

    fn leave(&mut self, now: Instant) -> Result<(), Failure> {
        if self.phase == Phase::Talking {
            (self.phase, self.since) = (Phase::Leaving, now);
            self.connection.socket().shutdown(Shutdown::Write).map_err(Failure::Broken)?;
        }
        Ok(())
    }

    /// Checks the whole replies, where they are if it can be, and keeps the rest.
    fn take_in(
        &mut self,
        script: &Script,
        bytes: &[u8],
        mut answered: impl FnMut(Instant),
    ) -> Result<(), Failure> {
        let held = self.connection.inbound.len();
        if held == 0 {
            let consumed = self.check(script, bytes, 0, &mut answered)?;
            self.connection.inbound.append(&bytes[consumed..]);
        } else {
            let mut inbound = std::mem::take(&mut self.connection.inbound);
            inbound.append(bytes);
            inbound.consume(self.check(script, inbound.as_slice(), held, &mut answered)?);
            self.connection.inbound = inbound;
        }
        // The server says more than it was asked.
        let surplus = self.asked_at.is_empty() && !self.connection.inbound.is_empty();
        if surplus { Err(self.surplus()) } else { Ok(()) }
    }

    fn check(
        &mut self,
        script: &Script,
        bytes: &[u8],
        mut searched: usize,
        answered: &mut impl FnMut(Instant),
    ) -> Result<usize, Failure> {
        let mut consumed = 0;
        while let Some(Frame { body, length }) =
            script.codec.decode(&bytes[consumed..], searched).map_err(|TooLong| self.too_long())?
        {
            let asked_at = self.asked_at.pop_front().ok_or_else(|| self.surplus())?;
            script.check(self.number, self.answered, body).map_err(Failure::Mismatch)?;
            answered(asked_at);
            self.answered += 1;
            consumed += length;
            searched = 0;
        }
        Ok(consumed)
    }

    fn surplus(&self) -> Failure {
        Failure::Mismatch(format!("bytes after the last reply, of {}", self.answered))
    }

    fn too_long(&self) -> Failure {
        Failure::Mismatch(format!("reply {} is longer than it should be", self.answered))
    }
}

/// Starts to connect a non-blocking socket.
fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    let domain = Domain::for_address(target);
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&target.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket.into()),
    }
}
