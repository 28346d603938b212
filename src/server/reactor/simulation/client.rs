//! A client of a simulated server, and how it checks that it was served.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dialogue::{Dialogue, Ending};
use super::handler::Moment;
use super::pushes::Pushes;
use super::rng::Rng;
use super::stream::Stream;
use super::wire::{Finish, Wire};
use crate::net::clock::scripted::now;
use crate::server::patience::Timeouts;
use crate::server::push::WhenFull;
use crate::wire::reason::Reason;

/// The server's clock counts milliseconds.
pub(super) const PRECISION: Duration = Duration::from_millis(1);

/// One client. Its behaviour makes it honest, slow or hostile.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) port: u16,
    pub(super) wire: Rc<RefCell<Wire>>,
    pub(super) dialogue: Dialogue,
    pub(super) behaviour: Behaviour,
    pub(super) panics_at: Option<Moment>,
    /// When it connected.
    pub(super) since: Instant,
    /// How many bytes were sent by which time.
    sent_at: Vec<(usize, Instant)>,
    pub(super) stream: Stream,
    pub(super) pushes: Arc<Pushes>,
    /// The server was told to close it.
    pub(super) told_to_close: bool,
    /// How many bytes were sent when the server was told to drain.
    sent_at_drain: usize,
}

/// How often the client acts, in times per thousand, and how much at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Behaviour {
    pub(super) sends: usize,
    pub(super) chunk: usize,
    pub(super) reads: usize,
    pub(super) most_read: usize,
    /// How many of its bytes the server's kernel holds.
    pub(super) window: usize,
    /// Sends its FIN once it has sent everything, without being told to.
    pub(super) finishes: bool,
    pub(super) resets: usize,
    pub(super) leaves: usize,
}

impl Client {
    pub(super) fn new(
        port: u16,
        wire: Rc<RefCell<Wire>>,
        dialogue: Dialogue,
        behaviour: Behaviour,
        panics_at: Option<Moment>,
        pushes: Arc<Pushes>,
    ) -> Client {
        let (since, sent_at) = (now(), Vec::new());
        let (stream, told_to_close) = Default::default();
        Client {
            port,
            wire,
            dialogue,
            behaviour,
            panics_at,
            since,
            sent_at,
            stream,
            pushes,
            told_to_close,
            sent_at_drain: 0,
        }
    }

    /// Does, or does not do, what it could do now.
    pub(super) fn act(&mut self, rng: &mut Rng) -> Result<(), String> {
        let most_read = rng.count(self.behaviour.most_read);
        self.receive(if rng.chance(self.behaviour.reads) { most_read } else { 0 })?;
        if rng.chance(self.behaviour.sends) {
            self.send(rng);
        }
        Ok(())
    }

    /// Reads what arrived. It must be what is due next.
    pub(super) fn receive(&mut self, most: usize) -> Result<(), String> {
        let mut wire = self.wire.borrow_mut();
        let received = wire.take(most);
        self.stream.take(&received, self.port, &self.dialogue, &self.pushes)?;
        if wire.server_finished.is_some() && wire.in_flight.is_empty() {
            wire.client_finished = true;
        }
        wire.violation.map_or(Ok(()), |violation| Err(violation.to_owned()))
    }

    fn send(&mut self, rng: &mut Rng) {
        let mut wire = self.wire.borrow_mut();
        if wire.client_finished || wire.client_reset || wire.closed {
            return;
        }
        let room = self.behaviour.window.saturating_sub(wire.arrived.len());
        let rest = &self.dialogue.sent[wire.sent..];
        let chunk = &rest[..rng.count(self.behaviour.chunk).min(room).min(rest.len())];
        if !chunk.is_empty() {
            wire.send(chunk);
            self.sent_at.push((wire.sent, now()));
        }
        let done = wire.sent == self.dialogue.sent.len();
        wire.client_gone = rng.chance(self.behaviour.leaves);
        wire.client_finished = wire.client_gone || done && self.behaviour.finishes;
        if rng.chance(self.behaviour.resets) {
            wire.client_reset = true;
            wire.in_flight.clear();
        }
    }

    /// The server is told to drain now.
    pub(super) fn note_drain(&mut self) {
        self.sent_at_drain = self.wire.borrow().sent;
    }

    /// Checks its end, once the server has ended and everything was read.
    pub(super) fn check(
        &self,
        reason: Reason,
        at: Instant,
        timeouts: &Timeouts,
    ) -> Result<(), String> {
        let verdict = self
            .check_reason(reason, at, timeouts)
            .and_then(|()| self.check_bytes(reason, at, timeouts));
        verdict.map_err(|problem| {
            format!("closed for {reason:?} at {at:?}, {problem}, with {timeouts:?}: {self:?}")
        })
    }

    /// Checks that there was a cause for the reason.
    fn check_reason(&self, reason: Reason, at: Instant, timeouts: &Timeouts) -> Result<(), String> {
        let wire = self.wire.borrow();
        let over = |spent: Duration, limit: Option<Duration>| {
            limit.is_some_and(|limit| spent + PRECISION >= limit)
        };
        // A client that sent bytes which were not read yet is not late.
        let late = wire.server_finished.filter(|finish| finish.unread == 0);
        let just = match reason {
            Reason::Eof | Reason::Truncated => wire.client_finished,
            Reason::Reset => wire.client_reset || wire.failed.is_some(),
            Reason::Error => wire.failed.is_some() || wire.is_unwatched(),
            Reason::TooLong => self.dialogue.ending == Ending::TooLong,
            Reason::Panic => self.panics_at.is_some() || self.dialogue.ending == Ending::Panic,
            // With nothing in flight it is the server that has not written.
            Reason::WriteTimeout => {
                let spent = at - wire.last_taken.max(self.since);
                over(spent, timeouts.write) && wire.in_flight_at_close > 0
            }
            Reason::FrameTimeout => {
                late.is_some_and(|late| over(late.at - self.message_begun(&late), timeouts.message))
            }
            Reason::IdleTimeout => late.is_some_and(|late| over(late.silence, timeouts.idle)),
            Reason::Close => self.told_to_close || self.dialogue.ending == Ending::Close,
            // With nothing in flight it may be a worker that is slow.
            Reason::PushFull => {
                let reaching = self.pushes.reaching(self.port);
                reaching.iter().any(|sent| sent.when_full == WhenFull::Close)
            }
            Reason::Drain | Reason::Stop => true,
            Reason::ProxyHeader => false,
        };
        if just { Ok(()) } else { Err("for no reason".into()) }
    }

    /// When the first byte of the incomplete message was sent.
    fn message_begun(&self, finish: &Finish) -> Instant {
        let begin = self.dialogue.message_at(finish.sent);
        let first = self.sent_at.iter().find(|&&(sent, _)| sent > begin);
        first.map_or(self.since, |&(_, when)| when)
    }

    fn check_bytes(&self, reason: Reason, at: Instant, timeouts: &Timeouts) -> Result<(), String> {
        let wire = self.wire.borrow();
        // What is in flight has as much time as any slow reader.
        let spent = at - wire.last_taken + PRECISION;
        let overdue = wire.cut && timeouts.write.is_some_and(|limit| spent >= limit);
        let owed = self.owed(reason);
        if self.is_broken() || overdue || self.stream.replies >= owed {
            return Ok(());
        }
        Err(format!("{} of {owed} bytes came back", self.stream.replies))
    }

    /// Returns whether something happened to the connection after which bytes may be missing.
    pub(super) fn is_broken(&self) -> bool {
        let wire = self.wire.borrow();
        wire.client_reset || wire.client_gone || wire.failed.is_some()
    }

    /// How many bytes it must have received, if it was closed for that reason.
    fn owed(&self, reason: Reason) -> usize {
        let wire = self.wire.borrow();
        let finished = wire.server_finished.map_or(wire.sent, |finish| finish.sent);
        match reason {
            Reason::Eof | Reason::Truncated => self.dialogue.owed(wire.sent),
            Reason::TooLong => self.dialogue.replies.len(),
            Reason::Close if !self.told_to_close => self.dialogue.replies.len(),
            Reason::Panic if self.panics_at.is_none() => self.dialogue.replies.len(),
            Reason::FrameTimeout | Reason::IdleTimeout => self.dialogue.owed(finished),
            Reason::Drain => self.dialogue.owed(self.sent_at_drain),
            _ => 0,
        }
    }
}
