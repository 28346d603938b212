//! What is pushed to a peer: it waits with the unsent replies, behind them.
//!
//! While a worker has the peer's messages no reply is unsent, because the peer would not be
//! read from. What is pushed meanwhile waits in their place, for the replies of the job.

use super::Peer;
use crate::net::buffer::Buffer;
use crate::net::poll::Interest;
use crate::net::socket::Socket;
use crate::server::phase::{Phase, Turn};
use crate::wire::reason::Reason;

/// What became of a message that was pushed to a peer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// Nothing else waits: it must be sent in this turn.
    First,
    /// It is sent with what waits already.
    Behind,
    /// The peer has no room for it.
    Full,
    /// The connection is about to end.
    Late,
}

impl<S, T: Socket> Peer<S, T> {
    /// Keeps a message that is pushed to the peer, unless it holds others and all of them
    /// together are more than `room` bytes.
    pub(crate) fn push(&mut self, message: &[u8], room: usize) -> Pushed {
        let waiting = self.connection.unsent();
        if !self.is_sent_to() {
            return Pushed::Late;
        }
        if waiting > 0 && waiting + message.len() > room {
            return Pushed::Full;
        }
        self.connection.append(message);
        match self.turn {
            Turn::Reactor | Turn::NoJob if waiting == 0 => Pushed::First,
            _ => Pushed::Behind,
        }
    }

    /// Returns whether what is pushed is still sent to the peer: also behind its FIN, as long as
    /// the connection is open.
    fn is_sent_to(&self) -> bool {
        match self.phase {
            Phase::Open => true,
            Phase::Finishing(reason) => reason.peer_has_finished(),
            Phase::Draining { .. } | Phase::Lingering(_) | Phase::Over(_) => false,
        }
    }

    /// Returns whether nothing is left but to end the connection, because the peer has finished.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Finishing(reason) if reason.peer_has_finished())
            && self.may_be_answered()
    }

    /// Returns whether something is unsent that the kernel was not offered.
    pub(crate) fn has_untried(&self) -> bool {
        self.has_unsent() && self.watched != Some(Interest::WRITABLE)
    }

    /// Takes what was pushed while a worker had the messages, which it returns now.
    pub(crate) fn take_deferred(&mut self) -> Buffer {
        self.connection.take_unsent()
    }

    /// The server closes the connection, unless it is about to end. Returns whether it does.
    pub(crate) fn close(&mut self) -> bool {
        let is_open = self.phase == Phase::Open;
        if is_open {
            self.give_up(Reason::Close);
        }
        is_open
    }
}
