//! A peer being served: what it is owed, and what is waited for.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use crate::net::clock::Stamp;
use crate::net::connection::Connection;
use crate::net::poll::Interest;
use crate::net::socket::Socket;
use crate::server::connection_log::Closed;
use crate::server::patience::Timeouts;
use crate::server::seats::Seat;
use crate::wire::reason::Reason;

/// An accepted socket on its way to its reactor.
#[derive(Debug)]
pub(crate) struct Newcomer<T = TcpStream> {
    pub(crate) socket: T,
    pub(crate) address: SocketAddr,
    /// When, in nanoseconds since the start.
    pub(crate) opened: u64,
    pub(crate) seat: Seat,
}

/// A connection of the server, with all that its reactor knows of it.
#[derive(Debug)]
pub(crate) struct Peer<S, T = TcpStream> {
    pub(crate) connection: Connection<T>,
    /// The handler's; it travels with the job while one is out.
    pub(crate) session: Option<S>,
    pub(crate) messages: u64,
    pub(crate) turn: Turn,
    phase: Phase,
    /// Whether the peer has sent more while we were not reading.
    early: bool,
    /// What epoll was told to watch for, once it was told.
    pub(crate) watched: Option<Interest>,
    pub(crate) timed: Timed,
    /// Of the peer; 12 bytes smaller than a socket address.
    ip: IpAddr,
    port: u16,
    /// In nanoseconds since the start.
    opened: u64,
    /// Left when the connection is dropped.
    _seat: Seat,
}

/// How far the conversation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Both sides talk.
    Open,
    /// The server drains: this much of what had arrived is still to be read.
    Draining { left: u32 },
    /// Nothing more is read. What was read is answered, then the peer is told
    /// that there will be no more.
    Finishing(Reason),
    /// Everything is answered and the peer was told. What it still sends is read
    /// and thrown away until it has finished too: closing over unread bytes would
    /// make the kernel reset the connection, and throw away what is under way.
    Lingering(Reason),
    /// There is nothing left to do.
    Over(Reason),
}

/// Whose turn it is with the bytes that have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The reactor's: it reads, handles, writes.
    Ours,
    /// Nobody's: whole messages are here and wait for a job.
    InLine,
    /// A worker's.
    Worker,
}

/// What the peer is given time for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Ourselves, however long that takes.
    Us,
    /// The rest of its message.
    Message,
    /// It takes what it has asked for.
    Room,
    /// It takes the last of what it has asked for.
    Rest,
    /// It finishes.
    Farewell,
    /// Whatever it likes to do next.
    Anything,
}

/// The deadline of a peer, as it was when it was last looked at.
#[derive(Debug, Default)]
pub(crate) struct Timed {
    /// The peer's [`mark`](Peer::mark).
    pub(crate) mark: u32,
    /// Since when.
    pub(crate) since: Option<Stamp>,
    /// When it comes up among the deadlines, if it is there.
    pub(crate) armed: Option<Stamp>,
}

/// What is to become of a peer after a visit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Stays,
    Ends(Reason),
}

/// How long a peer that was told to finish, and has acknowledged that, may take to do
/// so; and how often we look whether it has acknowledged it.
const LINGER: Duration = Duration::from_secs(1);

impl Waiting {
    /// How long it may take.
    pub(crate) fn limit(self, timeouts: &Timeouts) -> Option<Duration> {
        match self {
            Waiting::Us => None,
            Waiting::Message => timeouts.message,
            Waiting::Room | Waiting::Rest => timeouts.write,
            Waiting::Farewell => Some(LINGER),
            Waiting::Anything => timeouts.idle,
        }
    }

    /// In what time it is to be looked at, having `left` of its limit or no limit: where
    /// nobody tells us that what we wait for has come, we look ourselves.
    pub(crate) fn next_look(self, left: Option<Duration>) -> Option<Duration> {
        match self {
            Waiting::Rest => Some(LINGER),
            _ => left,
        }
    }
}

impl<S, T: Socket> Peer<S, T> {
    pub(crate) fn new(newcomer: Newcomer<T>, session: Option<S>) -> Peer<S, T> {
        Peer {
            connection: Connection::new(newcomer.socket),
            session,
            messages: 0,
            turn: Turn::Ours,
            phase: Phase::Open,
            early: false,
            watched: None,
            timed: Timed::default(),
            ip: newcomer.address.ip(),
            port: newcomer.address.port(),
            opened: newcomer.opened,
            _seat: newcomer.seat,
        }
    }

    /// What to watch for, in this state. While replies are unsent the peer is not
    /// read from, and TCP tells it to wait.
    ///
    /// While a worker has its messages it stays watched until it sends more after
    /// all: most do not, and are spared two calls a message.
    pub(crate) fn interest(&self) -> Interest {
        match (self.phase, self.turn) {
            _ if self.connection.has_unsent() => Interest::WRITABLE,
            (Phase::Finishing(_), _) => Interest::NONE,
            (_, Turn::InLine | Turn::Worker) if self.early => Interest::NONE,
            _ => Interest::READABLE,
        }
    }

    /// What the peer is given time for, in this state.
    pub(crate) fn waiting(&self) -> Waiting {
        match self.phase {
            // Closing now would throw away what is under way, if the peer still sends. (Our
            // FIN is, too, and no event tells that it has arrived.)
            Phase::Lingering(_) if self.unacknowledged() > 0 => Waiting::Rest,
            Phase::Lingering(_) => Waiting::Farewell,
            _ if self.connection.has_unsent() => Waiting::Room,
            _ if self.turn != Turn::Ours => Waiting::Us,
            _ if !self.connection.inbound.is_empty() => Waiting::Message,
            _ => Waiting::Anything,
        }
    }

    /// What is waited for and how far it has come, in four bytes. When they change
    /// the peer's time begins anew; they do not if it makes a multiple of 512 MiB of
    /// progress between two looks.
    pub(crate) fn mark(&self, waiting: Waiting) -> u32 {
        let progress = match waiting {
            Waiting::Us => 0,
            Waiting::Message => self.messages,
            Waiting::Room | Waiting::Rest | Waiting::Farewell => self.bytes_taken(),
            Waiting::Anything => self.connection.tally().received + self.bytes_taken(),
        };
        (waiting as u32) << 29 | progress as u32 & (u32::MAX >> 3)
    }

    /// How many bytes the peer has acknowledged. What the kernel took says less: it
    /// asks for more only once a third of its buffer is free, and until then a slow
    /// reader would seem to be none.
    fn bytes_taken(&self) -> u64 {
        self.connection.tally().sent.saturating_sub(self.unacknowledged())
    }

    fn unacknowledged(&self) -> u64 {
        self.connection.socket().unacknowledged().unwrap_or(0).into()
    }

    /// Whether it is we who are late: the peer has sent what we have not read yet, or
    /// has taken all that the kernel had for it.
    fn is_ahead_of_us(&self, waiting: Waiting) -> bool {
        let socket = self.connection.socket();
        match waiting {
            Waiting::Message | Waiting::Anything => socket.arrived().is_ok_and(|bytes| bytes > 0),
            Waiting::Room => socket.unacknowledged().is_ok_and(|bytes| bytes == 0),
            Waiting::Us | Waiting::Rest | Waiting::Farewell => false,
        }
    }

    /// Whether it may have more to say, and may say it now.
    pub(crate) fn may_speak(&self) -> bool {
        self.phase == Phase::Open && self.turn == Turn::Ours && !self.connection.has_unsent()
    }

    /// How many bytes may be read now. If none, the peer was early.
    pub(crate) fn allowance(&mut self, most: usize) -> usize {
        match self.phase {
            Phase::Finishing(_) | Phase::Over(_) => 0,
            _ if self.turn != Turn::Ours => {
                self.early = true;
                0
            }
            _ if self.connection.has_unsent() => 0,
            Phase::Draining { left } => most.min(left as usize),
            Phase::Open | Phase::Lingering(_) => most,
        }
    }

    /// Bytes were read. Says whether they are to be handled.
    pub(crate) fn took(&mut self, count: usize) -> bool {
        match self.phase {
            Phase::Lingering(_) => {
                self.connection.disregard(count);
                return false;
            }
            Phase::Draining { left } => self.drain_to(left.saturating_sub(count as u32)),
            _ => {}
        }
        true
    }

    /// It is our turn again with what the peer sends.
    pub(crate) fn resume(&mut self) {
        self.turn = Turn::Ours;
        self.early = false;
    }

    /// The server drains: only what has arrived by now is answered.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        if self.phase == Phase::Open {
            self.drain_to(self.connection.socket().arrived()?);
        }
        Ok(())
    }

    fn drain_to(&mut self, left: u32) {
        self.phase = match left {
            0 => Phase::Finishing(Reason::Drain),
            left => Phase::Draining { left },
        };
    }

    /// Nothing more is to be read, because of `reason`.
    pub(crate) fn finish(&mut self, reason: Reason) {
        self.phase = match self.phase {
            Phase::Lingering(first) => Phase::Over(first),
            _ => Phase::Finishing(reason),
        };
    }

    /// As [`finish`](Peer::finish), and what was read is not to be handled either.
    pub(crate) fn give_up(&mut self, reason: Reason) {
        self.connection.inbound.clear();
        self.finish(reason);
    }

    /// What follows from this state, once all that could be done was done.
    pub(crate) fn fate(&mut self) -> io::Result<Fate> {
        match self.phase {
            _ if self.turn != Turn::Ours || self.connection.has_unsent() => Ok(Fate::Stays),
            Phase::Open | Phase::Draining { .. } | Phase::Lingering(_) => Ok(Fate::Stays),
            Phase::Over(reason) => Ok(Fate::Ends(reason)),
            Phase::Finishing(reason) if reason.peer_has_finished() => {
                Ok(Fate::Ends(self.complete(reason)))
            }
            Phase::Finishing(reason) => self.say_farewell(reason).map(|()| Fate::Stays),
        }
    }

    fn say_farewell(&mut self, reason: Reason) -> io::Result<()> {
        self.connection.inbound.clear();
        self.phase = Phase::Lingering(reason);
        self.connection.socket().finish()
    }

    /// The peer has used up its time, unless it has just moved on.
    pub(crate) fn time_is_over(&mut self) -> io::Result<Fate> {
        let waiting = self.waiting();
        if self.mark(waiting) != self.timed.mark || self.is_ahead_of_us(waiting) {
            return self.fate();
        }
        match (waiting, self.phase) {
            (_, Phase::Lingering(reason)) => return Ok(Fate::Ends(reason)),
            (Waiting::Room, _) => return Ok(Fate::Ends(Reason::WriteTimeout)),
            (Waiting::Message, _) => self.give_up(Reason::FrameTimeout),
            _ => self.give_up(Reason::IdleTimeout),
        }
        self.fate()
    }

    /// What the connection came to, `now` being in nanoseconds since the start.
    pub(crate) fn closed(&self, thread: i32, now: u64, reason: Reason) -> Closed {
        Closed {
            fd: self.connection.socket().as_fd().as_raw_fd(),
            peer: SocketAddr::new(self.ip, self.port),
            thread,
            open: Duration::from_nanos(now.saturating_sub(self.opened)),
            messages: self.messages,
            tally: self.connection.tally(),
            reason,
        }
    }

    fn complete(&self, reason: Reason) -> Reason {
        match reason {
            Reason::Eof if !self.connection.inbound.is_empty() => Reason::Truncated,
            _ => reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_small() {
        // Fifteen thousand of them are what the memory of an idle server is made of.
        assert!(size_of::<Peer<()>>() <= 120, "{}", size_of::<Peer<()>>());
    }
}
