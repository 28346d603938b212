//! A client of a simulated server, and the judge of how it was served.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::actor::Moment;
use super::dice::Dice;
use super::speech::{Ending, Speech};
use super::wire::{Finish, Wire};
use crate::net::clock::scripted::now;
use crate::server::patience::Timeouts;
use crate::wire::reason::Reason;

/// The server's clock counts milliseconds.
pub(super) const PRECISION: Duration = Duration::from_millis(1);

/// One client. How it talks and listens makes it honest, slow, deaf or rude.
#[derive(Debug)]
pub(super) struct Speaker {
    pub(super) port: u16,
    pub(super) wire: Rc<RefCell<Wire>>,
    pub(super) speech: Speech,
    pub(super) manners: Manners,
    pub(super) panics_at: Option<Moment>,
    /// When it was connected.
    pub(super) since: Instant,
    /// How much was said by when.
    said_by: Vec<(usize, Instant)>,
    pub(super) heard: usize,
    /// How much was said when the server was told to drain.
    said_at_drain: usize,
}

/// How often, in times a thousand, and how much at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manners {
    pub(super) talks: usize,
    pub(super) words: usize,
    pub(super) listens: usize,
    pub(super) gulp: usize,
    /// How many of its bytes the server's kernel holds.
    pub(super) window: usize,
    /// Finishes once it has said everything, without being told to.
    pub(super) finishes: bool,
    pub(super) resets: usize,
    pub(super) leaves: usize,
}

impl Speaker {
    pub(super) fn new(
        port: u16,
        wire: Rc<RefCell<Wire>>,
        speech: Speech,
        manners: Manners,
        panics_at: Option<Moment>,
    ) -> Speaker {
        let (since, said_by, heard) = (now(), Vec::new(), 0);
        Speaker { port, wire, speech, manners, panics_at, since, said_by, heard, said_at_drain: 0 }
    }

    /// Does, or does not, what it could do now.
    pub(super) fn act(&mut self, dice: &mut Dice) -> Result<(), String> {
        let gulp = dice.count(self.manners.gulp);
        self.listen(if dice.chance(self.manners.listens) { gulp } else { 0 })?;
        if dice.chance(self.manners.talks) {
            self.talk(dice);
        }
        Ok(())
    }

    /// Takes what has come, which must be what comes next.
    pub(super) fn listen(&mut self, most: usize) -> Result<(), String> {
        let mut wire = self.wire.borrow_mut();
        let heard = wire.take(most);
        let expected = self.speech.replies.get(self.heard..self.heard + heard.len());
        if expected != Some(&heard[..]) {
            return Err(format!("wrong bytes after {} right ones: {heard:?}", self.heard));
        }
        self.heard += heard.len();
        if wire.server_finished.is_some() && wire.under_way.is_empty() {
            wire.client_finished = true;
        }
        wire.misdeed.map_or(Ok(()), |misdeed| Err(misdeed.to_owned()))
    }

    fn talk(&mut self, dice: &mut Dice) {
        let mut wire = self.wire.borrow_mut();
        if wire.client_finished || wire.client_reset || wire.closed {
            return;
        }
        let room = self.manners.window.saturating_sub(wire.arrived.len());
        let rest = &self.speech.said[wire.said..];
        let words = &rest[..dice.count(self.manners.words).min(room).min(rest.len())];
        if !words.is_empty() {
            wire.say(words);
            self.said_by.push((wire.said, now()));
        }
        let done = wire.said == self.speech.said.len();
        wire.client_gone = dice.chance(self.manners.leaves);
        wire.client_finished = wire.client_gone || done && self.manners.finishes;
        if dice.chance(self.manners.resets) {
            wire.client_reset = true;
            wire.under_way.clear();
        }
    }

    /// The server is being told to drain.
    pub(super) fn note_drain(&mut self) {
        self.said_at_drain = self.wire.borrow().said;
    }

    /// Judges its end, once the server is gone and everything was listened to.
    pub(super) fn judge(
        &self,
        reason: Reason,
        at: Instant,
        timeouts: &Timeouts,
    ) -> Result<(), String> {
        let verdict = self
            .judge_reason(reason, at, timeouts)
            .and_then(|()| self.judge_bytes(reason, at, timeouts));
        verdict.map_err(|problem| {
            format!("closed for {reason:?} at {at:?}, {problem}, with {timeouts:?}: {self:?}")
        })
    }

    /// A reason must have been given reason for.
    fn judge_reason(&self, reason: Reason, at: Instant, timeouts: &Timeouts) -> Result<(), String> {
        let wire = self.wire.borrow();
        let over = |spent: Duration, limit: Option<Duration>| {
            limit.is_some_and(|limit| spent + PRECISION >= limit)
        };
        // Who has sent bytes that were not read yet is not late.
        let late = wire.server_finished.filter(|finish| finish.unread == 0);
        let just = match reason {
            Reason::Eof | Reason::Truncated => wire.client_finished,
            Reason::Reset => wire.client_reset || wire.failed.is_some(),
            Reason::Error => wire.failed.is_some() || wire.is_unwatched(),
            Reason::TooLong => self.speech.ending == Ending::TooLong,
            Reason::Panic => self.panics_at.is_some() || self.speech.ending == Ending::Panic,
            // With nothing under way it is the server that has not written.
            Reason::WriteTimeout => {
                let spent = at - wire.last_taken.max(self.since);
                over(spent, timeouts.write) && wire.under_way_at_close > 0
            }
            Reason::FrameTimeout => {
                late.is_some_and(|late| over(late.at - self.message_begun(&late), timeouts.message))
            }
            Reason::IdleTimeout => late.is_some_and(|late| over(late.silence, timeouts.idle)),
            Reason::Drain | Reason::Stop => true,
        };
        if just { Ok(()) } else { Err("for no reason".into()) }
    }

    /// When the first byte was said of the message that did not become whole.
    fn message_begun(&self, finish: &Finish) -> Instant {
        let begin = self.speech.message_at(finish.said);
        let first = self.said_by.iter().find(|&&(said, _)| said > begin);
        first.map_or(self.since, |&(_, when)| when)
    }

    fn judge_bytes(&self, reason: Reason, at: Instant, timeouts: &Timeouts) -> Result<(), String> {
        let wire = self.wire.borrow();
        let broken = wire.client_reset || wire.client_gone || wire.failed.is_some();
        // While something is under way it has the time of every reader.
        let spent = at - wire.last_taken + PRECISION;
        let overdue = wire.cut && timeouts.write.is_some_and(|limit| spent >= limit);
        let owed = self.owed(reason);
        if broken || overdue || self.heard >= owed {
            return Ok(());
        }
        Err(format!("{} of {owed} bytes came back", self.heard))
    }

    /// How many bytes it must have heard, being closed for that reason.
    fn owed(&self, reason: Reason) -> usize {
        let wire = self.wire.borrow();
        let finished = wire.server_finished.map_or(wire.said, |finish| finish.said);
        match reason {
            Reason::Eof | Reason::Truncated => self.speech.owed(wire.said),
            Reason::TooLong => self.speech.replies.len(),
            Reason::Panic if self.panics_at.is_none() => self.speech.replies.len(),
            Reason::FrameTimeout | Reason::IdleTimeout => self.speech.owed(finished),
            Reason::Drain => self.speech.owed(self.said_at_drain),
            _ => 0,
        }
    }
}
