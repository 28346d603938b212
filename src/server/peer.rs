//! A connection of the server: the state it is in, and the transitions between states.

mod progress;
mod pushes;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use crate::net::address::Address;
use crate::net::buffer::Buffer;
use crate::net::clock::Tick;
use crate::net::connection::{Connection, Received, Tally};
use crate::net::poll::{Interest, Poll};
use crate::net::socket::Socket;
use crate::net::token::Token;
use crate::server::connection_log::Closed;
use crate::server::mail::Newcomer;
use crate::server::patience::{Check, Deadline, Patience, Waiting};
use crate::server::phase::{Phase, Turn};
use crate::server::seats::Seat;
use crate::wire::reason::Reason;
use progress::{progress, unacknowledged};
pub(crate) use pushes::Pushed;

/// A connection of the server, with all that its reactor knows of it.
#[derive(Debug)]
pub(crate) struct Peer<S, T = TcpStream> {
    connection: Connection<T>,
    /// Received, and not handled yet.
    unhandled: Buffer,
    /// The handler's. It travels with the job while one is out.
    session: Option<S>,
    messages: u64,
    turn: Turn,
    phase: Phase,
    /// The peer sent more while it was not read from.
    sent_early: bool,
    /// What epoll was last told to watch for.
    watched: Option<Interest>,
    deadline: Deadline,
    address: Address,
    /// When it was accepted, in nanoseconds since the server was made.
    opened: u64,
    /// Given back when the connection is dropped.
    _seat: Seat,
}

/// What one read of a peer brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    Nothing,
    /// This many bytes of messages.
    Bytes(usize),
    /// This many bytes that arrived after our FIN.
    Discarded(usize),
}

/// The queries: what follows from the state. None of them changes anything.
impl<S, T: Socket> Peer<S, T> {
    /// What to watch for in this state. While replies are unsent the peer is not read from,
    /// and TCP makes it wait. While a worker has its messages the peer stays watched until it
    /// sends more: most peers do not, which saves two system calls per message.
    pub(crate) fn interest(&self) -> Interest {
        match (self.phase, self.turn) {
            _ if self.has_unsent() => Interest::WRITABLE,
            (Phase::Finishing(_), _) => Interest::NONE,
            (_, Turn::NoJob | Turn::Worker) if self.sent_early => Interest::NONE,
            _ => Interest::READABLE,
        }
    }

    /// How many bytes may be read now.
    pub(crate) fn may_read(&self) -> usize {
        match self.phase {
            Phase::Finishing(_) | Phase::Over(_) => 0,
            _ if self.has_unsent() || !self.is_our_turn() => 0,
            Phase::Draining { left } => left as usize,
            Phase::Open | Phase::Lingering(_) => usize::MAX,
        }
    }

    /// Returns whether messages that were read may be handled now.
    pub(crate) fn may_be_answered(&self) -> bool {
        self.is_our_turn() && !self.has_unsent()
    }

    /// Returns whether the messages are the reactor's to handle.
    pub(crate) fn is_our_turn(&self) -> bool {
        self.turn == Turn::Reactor
    }

    pub(crate) fn turn(&self) -> Turn {
        self.turn
    }

    /// Returns whether anything waits for the kernel to take it. What waits for a worker's
    /// replies does not.
    pub(crate) fn has_unsent(&self) -> bool {
        self.turn != Turn::Worker && self.connection.has_unsent()
    }

    /// Why it is over, if it is.
    pub(crate) fn over(&self) -> Option<Reason> {
        match self.phase {
            Phase::Over(reason) => Some(reason),
            _ => None,
        }
    }

    /// What the server waits for, in this state.
    pub(crate) fn waiting(&self) -> Waiting {
        match self.phase {
            // Closing now would throw away what is under way, if the peer still sends.
            Phase::Lingering(_) if unacknowledged(&self.connection) > 0 => Waiting::LastAck,
            Phase::Lingering(_) => Waiting::Fin,
            _ if self.has_unsent() => Waiting::Room,
            _ if !self.is_our_turn() => Waiting::Worker,
            _ if !self.unhandled.is_empty() => Waiting::Message,
            _ => Waiting::Anything,
        }
    }

    /// Returns whether the server is late, not the peer: it sent what was not read yet, or
    /// took all that the kernel had for it.
    fn is_ahead(&self, waiting: Waiting) -> bool {
        match waiting {
            Waiting::Message | Waiting::Anything => {
                self.socket().arrived().is_ok_and(|bytes| bytes > 0)
            }
            Waiting::Room => self.socket().unacknowledged().is_ok_and(|bytes| bytes == 0),
            Waiting::Worker | Waiting::LastAck | Waiting::Fin => false,
        }
    }

    /// How many bytes were read and sent.
    pub(crate) fn tally(&self) -> Tally {
        self.connection.tally()
    }

    /// How many bytes it holds: unhandled or unsent ones.
    pub(crate) fn held(&self) -> usize {
        self.unhandled.len() + self.connection.unsent()
    }

    pub(crate) fn socket(&self) -> &T {
        self.connection.socket()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address.into()
    }

    /// What its close line says, `now` being in nanoseconds since the server was made.
    pub(crate) fn closed(&self, thread: i32, now: u64, reason: Reason) -> Closed {
        Closed {
            fd: self.socket().as_fd().as_raw_fd(),
            peer: self.address(),
            thread,
            open: Duration::from_nanos(now.saturating_sub(self.opened)),
            messages: self.messages,
            tally: self.tally(),
            reason,
        }
    }
}

/// The transitions from one state to the next.
impl<S, T: Socket> Peer<S, T> {
    /// A peer without a session. If the handler panics and makes none, it is over.
    pub(crate) fn new(newcomer: Newcomer<T>) -> Peer<S, T> {
        Peer {
            connection: Connection::new(newcomer.socket),
            unhandled: Buffer::default(),
            session: None,
            messages: 0,
            turn: Turn::Reactor,
            phase: Phase::Over(Reason::Panic),
            sent_early: false,
            watched: None,
            deadline: Deadline::default(),
            address: newcomer.address.into(),
            opened: newcomer.opened,
            _seat: newcomer.seat,
        }
    }

    /// Reads once.
    pub(crate) fn receive(&mut self, scratch: &mut [u8]) -> io::Result<Arrival> {
        match (self.connection.receive(scratch)?, self.phase) {
            (Received::NotYet, _) => Ok(Arrival::Nothing),
            (Received::Eof, _) => {
                self.end_input(Reason::Eof);
                Ok(Arrival::Nothing)
            }
            (Received::Bytes(count), Phase::Lingering(_)) => {
                self.connection.uncount_received(count);
                Ok(Arrival::Discarded(count))
            }
            (Received::Bytes(count), Phase::Draining { left }) => {
                self.drain_to(left.saturating_sub(count as u32));
                Ok(Arrival::Bytes(count))
            }
            (Received::Bytes(count), _) => Ok(Arrival::Bytes(count)),
        }
    }

    /// Nothing more is read, for this reason. What was read is still answered.
    fn end_input(&mut self, reason: Reason) {
        self.phase = match self.phase {
            Phase::Lingering(reason) => Phase::Over(reason),
            _ => Phase::Finishing(reason),
        };
    }

    /// Sends replies. What the kernel does not take is kept.
    pub(crate) fn send(&mut self, replies: &[u8]) -> io::Result<()> {
        self.connection.send(replies)
    }

    /// Sends replies that were kept.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.connection.flush()
    }

    /// Returns whether a message was begun and is not complete, or waits to be handled.
    pub(crate) fn has_unhandled(&self) -> bool {
        !self.unhandled.is_empty()
    }

    /// Keeps bytes behind those that are not handled yet. Returns how many those were.
    pub(crate) fn keep_unhandled(&mut self, bytes: &[u8]) -> usize {
        let before = self.unhandled.len();
        self.unhandled.append(bytes);
        before
    }

    /// Takes the bytes that are not handled yet, for as long as they are being handled.
    pub(crate) fn take_unhandled(&mut self) -> Buffer {
        std::mem::take(&mut self.unhandled)
    }

    /// Puts back the rest of them.
    pub(crate) fn put_back_unhandled(&mut self, rest: Buffer) {
        self.unhandled = rest;
    }

    /// The session: lent to handle a message, taken by a job that carries the messages away.
    pub(crate) fn session(&mut self) -> &mut Option<S> {
        &mut self.session
    }

    /// Messages of the peer were handled.
    pub(crate) fn count_messages(&mut self, count: u64) {
        self.messages += count;
    }

    /// The messages wait for a free job.
    pub(crate) fn wait_for_job(&mut self) {
        self.turn = Turn::NoJob;
    }

    /// A worker has the messages, and the session with them.
    pub(crate) fn wait_for_worker(&mut self) {
        self.turn = Turn::Worker;
    }

    /// The peer sent more while it was not read from. It is not watched for that any more.
    pub(crate) fn note_sent_early(&mut self) {
        self.sent_early = true;
    }

    /// It is the reactor's turn again.
    pub(crate) fn resume(&mut self) {
        (self.turn, self.sent_early) = (Turn::Reactor, false);
    }

    /// The server drains: only what has arrived by now is read.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        if self.phase == Phase::Open {
            self.drain_to(self.socket().arrived()?);
        }
        Ok(())
    }

    fn drain_to(&mut self, left: u32) {
        self.phase = match left {
            0 => Phase::Finishing(Reason::Drain),
            left => Phase::Draining { left },
        };
    }

    /// Nothing more is read, and what was read and not handled is not handled either.
    pub(crate) fn give_up(&mut self, reason: Reason) {
        self.unhandled.clear();
        self.end_input(reason);
    }

    /// The handler made its session: both sides may send from now on.
    pub(crate) fn open(&mut self, session: S) {
        (self.session, self.phase) = (Some(session), Phase::Open);
    }

    /// Goes on to the next phase, once everything that was read is answered and sent.
    pub(crate) fn advance(&mut self) -> io::Result<()> {
        let Phase::Finishing(reason) = self.phase else { return Ok(()) };
        if !self.may_be_answered() {
            return Ok(());
        }
        if reason.peer_has_finished() {
            self.phase = Phase::Over(if self.has_unhandled() { Reason::Truncated } else { reason });
            return Ok(());
        }
        self.unhandled.clear();
        self.phase = Phase::Lingering(reason);
        self.socket().send_fin()
    }

    /// The peer has used up its time, unless it moved on while the server caught up.
    pub(crate) fn time_out(&mut self) {
        let waiting = self.waiting();
        let progress = progress(waiting, self.messages, &self.connection);
        if self.deadline.has_progress(waiting, progress) || self.is_ahead(waiting) {
            return;
        }
        match (waiting, self.phase) {
            (_, Phase::Lingering(reason)) => self.phase = Phase::Over(reason),
            (Waiting::Room, _) => self.phase = Phase::Over(Reason::WriteTimeout),
            (Waiting::Message, _) => self.give_up(Reason::FrameTimeout),
            _ => self.give_up(Reason::IdleTimeout),
        }
    }

    /// Has epoll watch for what this state needs. Where nothing changed that costs nothing.
    pub(crate) fn watch(&mut self, poll: &Poll, token: Token) -> io::Result<()> {
        let interest = self.interest();
        poll.watch(self.connection.socket(), token, &mut self.watched, interest)
    }

    /// Has its deadline follow the state it is in.
    pub(crate) fn update_deadline(&mut self, token: Token, patience: &mut Patience) {
        let waiting = self.waiting();
        let progress = || progress(waiting, self.messages, &self.connection);
        patience.update(token, &mut self.deadline, waiting, progress);
    }

    /// Takes the report of the timer wheel about its deadline.
    pub(crate) fn check_deadline(&mut self, patience: &Patience, now: Tick) -> Check {
        let waiting = self.waiting();
        let progress = || progress(waiting, self.messages, &self.connection);
        patience.take_report(&mut self.deadline, waiting, progress, now)
    }
}

#[cfg(test)]
impl<S, T> Peer<S, T> {
    /// What epoll was last told to watch for.
    pub(crate) fn watched(&self) -> Option<Interest> {
        self.watched
    }

    pub(crate) fn deadline(&self) -> &Deadline {
        &self.deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_small() {
        // The memory of an idle server consists of thousands of them.
        assert!(size_of::<Peer<()>>() <= 120, "{}", size_of::<Peer<()>>());
    }
}
