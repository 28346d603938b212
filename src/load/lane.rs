//! One connection of a load.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::time::Instant;

use crate::load::script::{Script, hex};
use crate::net::buffer::Buffer;
use crate::net::connection::{Connection, Received, Tally};
use crate::net::poll::Interest;
use crate::wire::codec::{Frame, TooLong};

/// One connection, and the part that is played on it.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) connection: Connection,
    /// The begin of a reply that is not all there yet.
    inbound: Buffer,
    pub(crate) part: Part,
    pub(crate) phase: Phase,
    /// What epoll was told to watch for, once it was told.
    pub(crate) watched: Option<Interest>,
    /// How many messages had been asked when it opened.
    asked_before: u64,
    /// When each message that is not answered yet was sent, oldest first.
    asked_at: VecDeque<Instant>,
    /// When its phase began.
    since: Instant,
}

/// What is said on one connection, or on several one after the other.
#[derive(Debug)]
pub(crate) struct Part {
    /// Its number among those of the program, which its messages carry.
    number: u32,
    /// Its place among those of its thread that talk.
    pub(crate) place: u32,
    /// How many messages it may ever ask.
    pub(crate) most: u64,
    asked: u64,
    answered: u64,
    /// How many of its first messages do not count.
    uncounted: u64,
    /// How many messages were left out, because they were due in the warm-up.
    skipped: u64,
    /// Bytes of all its connections that were closed.
    tally: Tally,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Until the socket is writable.
    Connecting,
    /// Open, until all the others are.
    Ready,
    /// Asking, and waiting for replies.
    Talking,
    /// All is said and answered, and it is held.
    Resting,
    /// All is answered, and the server was told that no more will come. A byte
    /// that still arrives is one too many.
    Leaving,
}

/// A reply that was as it should be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    /// The place in the schedule of the message that it is for.
    pub(crate) turn: u64,
    /// When that was handed to the kernel.
    pub(crate) sent: Instant,
    /// Whether it counts.
    pub(crate) counts: bool,
}

/// What ends a connection before its time.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The source cannot be used.
    Source(IpAddr, io::Error),
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
                        and those of closed connections rest for a minute; --source adds addresses";

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Source(ip, error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                write!(f, "cannot connect from {ip}: {error}; it is no address of this machine")
            }
            Failure::Source(ip, error) => write!(f, "cannot connect from {ip}: {error}"),
            Failure::Connect(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                write!(f, "cannot connect: {error}; {NO_PORTS}")
            }
            Failure::Connect(error) => write!(f, "cannot connect: {error}"),
            Failure::ConnectTimeout => write!(f, "cannot connect: no answer in time"),
            Failure::Broken(error) => write!(f, "the connection broke: {error}"),
            Failure::Closed(0) => write!(f, "the server closed a connection that was idle"),
            Failure::Closed(missing) => {
                write!(f, "the server closed a connection that had {missing} unanswered")
            }
            Failure::Timeout => write!(f, "no reply in time"),
            Failure::NotClosed => write!(f, "the server did not close after the last reply"),
            Failure::Mismatch(what) => write!(f, "wrong bytes: {what}"),
        }
    }
}

impl Failure {
    /// Why a connection could not be opened, if that is what has failed.
    pub(crate) fn to_connect(&self) -> Option<String> {
        match self {
            Failure::Source(_, error) | Failure::Connect(error) => Some(error.to_string()),
            Failure::ConnectTimeout => Some("no answer in time".to_owned()),
            _ => None,
        }
    }
}

impl Part {
    pub(crate) fn new(number: u32) -> Part {
        let (place, most, asked, answered, uncounted, skipped, tally) = Default::default();
        Part { number, place, most, asked, answered, uncounted, skipped, tally }
    }

    /// What it asks does not count, for now.
    pub(crate) fn warm_up(&mut self) {
        self.uncounted = u64::MAX;
    }

    /// What it has asked so far does not count, and what it should have asked too, of
    /// `due` messages, is left out. From now on it may ask so many more.
    pub(crate) fn begin_to_count(&mut self, due: u64, most: u64) {
        self.uncounted = self.asked;
        self.skipped = due.saturating_sub(self.asked);
        self.most = self.asked.saturating_add(most);
    }

    /// The place in the schedule of its message `index`.
    pub(crate) fn turn(&self, index: u64) -> u64 {
        index + self.skipped
    }

    /// How many messages that count it has asked.
    pub(crate) fn counted(&self) -> u64 {
        self.asked - self.uncounted.min(self.asked)
    }

    /// A connection of it is closed.
    pub(crate) fn add(&mut self, tally: Tally) {
        self.tally.sent += tally.sent;
        self.tally.received += tally.received;
    }

    /// Bytes of those messages and replies that count, each so long.
    pub(crate) fn bytes(&self, message: u64, reply: u64) -> Tally {
        let asked = self.uncounted.min(self.asked);
        let answered = self.uncounted.min(self.answered);
        Tally {
            sent: self.tally.sent.saturating_sub(asked * message),
            received: self.tally.received.saturating_sub(answered * reply),
        }
    }

    /// How many messages it has ever asked.
    pub(crate) fn asked(&self) -> u64 {
        self.asked
    }
}

impl Lane {
    /// A connection that is being opened, for a part to be begun or gone on with.
    pub(crate) fn new(socket: TcpStream, part: Part, now: Instant) -> Lane {
        Lane {
            connection: Connection::new(socket),
            inbound: Buffer::default(),
            phase: Phase::Connecting,
            watched: None,
            asked_before: part.asked,
            asked_at: VecDeque::new(),
            since: now,
            part,
        }
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
            Phase::Ready | Phase::Resting => None,
            Phase::Talking => self.asked_at.front().copied(),
        }
    }

    /// Asks `count` messages more, with one write; `out` is room for them.
    pub(crate) fn ask(
        &mut self,
        script: &Script,
        count: u64,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        if count == 0 {
            return Ok(());
        }
        out.clear();
        for number in self.part.asked..self.part.asked + count {
            script.ask(self.part.number, number, out);
            self.asked_at.push_back(now);
        }
        self.part.asked += count;
        self.connection.send(out).map_err(Failure::Broken)
    }

    /// Reads once, and checks the replies; `answered` hears of each. Says when it was,
    /// or `None` if it is over, as it should be.
    pub(crate) fn read(
        &mut self,
        script: &Script,
        scratch: &mut [u8],
        mut answered: impl FnMut(Answer, Instant),
    ) -> Result<Option<Instant>, Failure> {
        let received = self.connection.receive(scratch).map_err(Failure::Broken)?;
        let now = Instant::now();
        match received {
            Received::NotYet => {}
            Received::Eof if self.phase == Phase::Leaving => return Ok(None),
            Received::Eof => return Err(Failure::Closed(self.unanswered())),
            Received::Bytes(count) => {
                self.take_in(script, &scratch[..count], |answer| answered(answer, now))?;
            }
        }
        Ok(Some(now))
    }

    /// Tells the server that nothing more will come.
    pub(crate) fn leave(&mut self, now: Instant) -> Result<(), Failure> {
        (self.phase, self.since) = (Phase::Leaving, now);
        self.connection.socket().shutdown(Shutdown::Write).map_err(Failure::Broken)
    }

    /// How many it has asked on this connection.
    pub(crate) fn asked_here(&self) -> u64 {
        self.part.asked - self.asked_before
    }

    /// How many replies are missing.
    pub(crate) fn unanswered(&self) -> u64 {
        self.part.asked - self.part.answered
    }

    /// What it means that nothing has come for too long.
    pub(crate) fn overdue(&self) -> Failure {
        match self.phase {
            Phase::Connecting => Failure::ConnectTimeout,
            Phase::Leaving => Failure::NotClosed,
            Phase::Ready | Phase::Talking | Phase::Resting => Failure::Timeout,
        }
    }

    /// Checks the whole replies, where they are if it can be, and keeps the rest.
    fn take_in(
        &mut self,
        script: &Script,
        bytes: &[u8],
        mut answered: impl FnMut(Answer),
    ) -> Result<(), Failure> {
        let held = self.inbound.len();
        if held == 0 {
            let consumed = self.check(script, bytes, 0, &mut answered)?;
            self.inbound.append(&bytes[consumed..]);
        } else {
            let mut inbound = std::mem::take(&mut self.inbound);
            inbound.append(bytes);
            inbound.consume(self.check(script, inbound.as_slice(), held, &mut answered)?);
            self.inbound = inbound;
        }
        // The server says more than it was asked.
        let rest = self.inbound.as_slice();
        let is_surplus = self.asked_at.is_empty() && !rest.is_empty();
        if is_surplus { Err(self.surplus(rest)) } else { Ok(()) }
    }

    fn check(
        &mut self,
        script: &Script,
        bytes: &[u8],
        mut searched: usize,
        answered: &mut impl FnMut(Answer),
    ) -> Result<usize, Failure> {
        let mut consumed = 0;
        while let Some(Frame { body, length }) =
            script
                .codec
                .decode(&bytes[consumed..], searched)
                .map_err(|TooLong| self.too_long(&bytes[consumed..]))?
        {
            let sent = self.asked_at.pop_front();
            let sent = sent.ok_or_else(|| self.surplus(&bytes[consumed..]))?;
            let index = self.part.answered;
            script.check(self.part.number, index, body).map_err(Failure::Mismatch)?;
            let counts = index >= self.part.uncounted;
            answered(Answer { turn: self.part.turn(index), sent, counts });
            self.part.answered += 1;
            consumed += length;
            searched = 0;
        }
        Ok(consumed)
    }

    fn surplus(&self, bytes: &[u8]) -> Failure {
        let begin = hex(bytes);
        Failure::Mismatch(format!("bytes after the last reply, of {}: {begin}", self.part.answered))
    }

    fn too_long(&self, bytes: &[u8]) -> Failure {
        let begin = hex(bytes);
        Failure::Mismatch(format!(
            "reply {} is longer than it should be: {begin}",
            self.part.answered
        ))
    }
}
