//! One connection of a load.

use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::load::failure::Failure;
use crate::load::payload::{Payload, hex};
use crate::load::sequence::Sequence;
use crate::net::buffer::Buffer;
use crate::net::connection::Connection;
use crate::net::poll::Interest;
use crate::net::socket::Socket;
use crate::wire::codec::{Frame, TooLong};

/// One connection, and the sequence of messages that it sends.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) connection: Connection,
    /// The start of a reply that has not arrived completely.
    inbound: Buffer,
    /// How many bytes of the next reply have arrived and are verified, in a stream.
    verified: usize,
    pub(crate) sequence: Sequence,
    pub(crate) state: LaneState,
    /// What epoll watches for, or `None` if it does not know the socket yet.
    pub(crate) watched: Option<Interest>,
    /// How many messages of the sequence earlier connections have sent.
    sent_earlier: u64,
    /// When each unanswered message was sent, oldest first.
    sent_at: VecDeque<Instant>,
    /// When it began to connect or to close.
    since: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LaneState {
    /// The socket is not writable yet.
    Connecting,
    /// Open, and silent until all generators are ready.
    Ready,
    /// Sending messages and receiving replies.
    Active,
    /// Open and idle: all messages have their replies.
    Held,
    /// Half-closed after the last reply. A byte that still arrives is wrong.
    Closing,
}

/// A reply that has passed verification.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verified {
    /// The index of its message in the schedule.
    pub(crate) index: u64,
    /// When its message was handed to the kernel.
    pub(crate) sent: Instant,
    pub(crate) counts: bool,
}

impl Lane {
    /// A connection that is being opened since `began`, to begin or to continue a sequence.
    pub(crate) fn new(socket: TcpStream, sequence: Sequence, began: Instant) -> Lane {
        Lane {
            connection: Connection::new(socket),
            inbound: Buffer::default(),
            verified: 0,
            state: LaneState::Connecting,
            watched: None,
            sent_earlier: sequence.sent(),
            sent_at: VecDeque::new(),
            since: began,
            sequence,
        }
    }

    /// Since when it does not work, now that it has failed.
    pub(crate) fn lost_since(&self, failure: &Failure, now: Instant) -> Instant {
        let has_waited = matches!(failure, Failure::Timeout | Failure::ConnectTimeout);
        self.waits_since().filter(|_| has_waited).unwrap_or(now)
    }

    /// What to watch for. Unlike a server the client reads even while it cannot write:
    /// if both sides waited for the other to read, neither would go on.
    pub(crate) fn interest(&self) -> Interest {
        match self.state {
            LaneState::Connecting => Interest::WRITABLE,
            _ if self.connection.has_unsent() => Interest::READABLE | Interest::WRITABLE,
            _ => Interest::READABLE,
        }
    }

    /// Since when it waits for the server, if it does.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        match self.state {
            LaneState::Connecting | LaneState::Closing => Some(self.since),
            LaneState::Ready | LaneState::Held => None,
            LaneState::Active => self.sent_at.front().copied(),
        }
    }

    /// The failure that it is to have waited too long.
    pub(crate) fn timeout(&self) -> Failure {
        match self.state {
            LaneState::Connecting => Failure::ConnectTimeout,
            LaneState::Closing => Failure::NotClosed,
            LaneState::Ready | LaneState::Active | LaneState::Held => Failure::Timeout,
        }
    }

    /// How long it has taken to open, once it is open.
    pub(crate) fn connect_time(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// How many messages it has sent on this connection.
    pub(crate) fn sent_here(&self) -> u64 {
        self.sequence.sent() - self.sent_earlier
    }

    /// Completes the connect to this port, now that the socket is writable for the first
    /// time. `state` is what it is from now on.
    pub(crate) fn finish_connect(&mut self, port: u16, state: LaneState) -> Result<(), Failure> {
        match self.connection.socket().take_error() {
            Ok(None) if self.is_its_own_peer(port) => {
                // The port must be free at once, for a server that starts later.
                self.connection.socket().reset();
                Err(Failure::ToItself(port))
            }
            Ok(None) => {
                self.state = state;
                Ok(())
            }
            Ok(Some(error)) | Err(error) => Err(Failure::Connect(error)),
        }
    }

    /// Sends the next `count` messages with one write; `out` is scratch space.
    pub(crate) fn send(
        &mut self,
        payload: &Payload,
        count: u64,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        if count == 0 {
            return Ok(());
        }
        out.clear();
        let next = self.sequence.sent();
        for number in next..next + count {
            payload.encode(self.sequence.connection, number, out);
            self.sent_at.push_back(now);
        }
        self.sequence.add_sent(count, out.len());
        self.connection.send(out).map_err(Failure::Broken)
    }

    /// Verifies the complete replies in what was received, and keeps the rest.
    pub(crate) fn receive(
        &mut self,
        payload: &Payload,
        bytes: &[u8],
        mut on_reply: impl FnMut(Verified),
    ) -> Result<(), Failure> {
        if payload.is_stream {
            return self.receive_stream(payload, bytes, on_reply);
        }
        let kept = self.inbound.len();
        if kept == 0 {
            let consumed = self.verify(payload, bytes, 0, &mut on_reply)?;
            self.inbound.append(&bytes[consumed..]);
        } else {
            let mut inbound = std::mem::take(&mut self.inbound);
            inbound.append(bytes);
            inbound.consume(self.verify(payload, inbound.as_slice(), kept, &mut on_reply)?);
            self.inbound = inbound;
        }
        let rest = self.inbound.as_slice();
        match self.sent_at.is_empty() && !rest.is_empty() {
            true if payload.refuses_surplus() => Err(self.surplus(rest)),
            // Without framing the next reply begins behind them.
            true if payload.is_raw => {
                self.inbound.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Half-closes, which tells the server that no more messages follow.
    pub(crate) fn half_close(&mut self, now: Instant) -> io::Result<()> {
        (self.state, self.since) = (LaneState::Closing, now);
        self.connection.socket().shutdown(Shutdown::Write)
    }

    /// Whether the kernel has connected it to itself. That happens if nobody listens on a
    /// port of this machine, and the kernel chooses it as the local port of the connection.
    fn is_its_own_peer(&self, port: u16) -> bool {
        let socket = self.connection.socket();
        let local = socket.local_addr().ok().filter(|local| local.port() == port);
        local.is_some_and(|local| socket.peer_addr().is_ok_and(|peer| peer == local))
    }

    /// Verifies the complete replies at the start of `bytes`, and returns their length.
    /// The first `searched` bytes hold no end of a reply.
    fn verify(
        &mut self,
        payload: &Payload,
        bytes: &[u8],
        mut searched: usize,
        on_reply: &mut impl FnMut(Verified),
    ) -> Result<usize, Failure> {
        let mut consumed = 0;
        loop {
            let rest = &bytes[consumed..];
            let (connection, number) = (self.sequence.connection, self.sequence.answered());
            let frame = payload.decode(connection, number, rest, searched);
            let frame = frame.map_err(|TooLong| self.too_long(rest))?;
            let Some(Frame { body, length }) = frame else {
                return Ok(consumed);
            };
            let Some(sent) = self.sent_at.pop_front() else {
                if payload.refuses_surplus() {
                    return Err(self.surplus(rest));
                }
                consumed += length;
                searched = 0;
                continue;
            };
            payload.verify(connection, number, body).map_err(Failure::Mismatch)?;
            on_reply(self.answer(sent, length));
            consumed += length;
            searched = 0;
        }
    }

    /// Verifies the bytes of a stream, and keeps none of them.
    fn receive_stream(
        &mut self,
        payload: &Payload,
        mut bytes: &[u8],
        mut on_reply: impl FnMut(Verified),
    ) -> Result<(), Failure> {
        while !bytes.is_empty() {
            let Some(&sent) = self.sent_at.front() else {
                return if payload.refuses_surplus() { Err(self.surplus(bytes)) } else { Ok(()) };
            };
            let (connection, number) = (self.sequence.connection, self.sequence.answered());
            let size = payload.size(connection, number);
            let (part, rest) = bytes.split_at(bytes.len().min(size - self.verified));
            let result = payload.verify_part(connection, number, self.verified, part);
            result.map_err(Failure::Mismatch)?;
            self.verified += part.len();
            if self.verified == size {
                self.verified = 0;
                self.sent_at.pop_front();
                on_reply(self.answer(sent, size));
            }
            bytes = rest;
        }
        Ok(())
    }

    /// The next message, sent at this moment, has its reply of this length.
    fn answer(&mut self, sent: Instant, length: usize) -> Verified {
        let number = self.sequence.answered();
        self.sequence.add_answered(length);
        let (index, counts) = (self.sequence.index(number), self.sequence.counts(number));
        Verified { index, sent, counts }
    }

    fn surplus(&self, bytes: &[u8]) -> Failure {
        let (replies, start) = (self.sequence.answered(), hex(bytes));
        Failure::Mismatch(format!("bytes after the last reply, of {replies}: {start}"))
    }

    fn too_long(&self, bytes: &[u8]) -> Failure {
        let (number, start) = (self.sequence.answered(), hex(bytes));
        Failure::Mismatch(format!("reply {number} is longer than it should be: {start}"))
    }
}
