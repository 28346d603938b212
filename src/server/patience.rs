//! How long peers may be slow.

use std::time::{Duration, Instant};

use crate::net::clock::{Clock, Stamp, Tick};
use crate::net::timer_wheel::TimerWheel;
use crate::net::token::Token;

/// How long a peer may be slow, in each of the ways of being slow; with `None` for ever. A peer
/// that is slower is closed, with a [`Reason`](crate::Reason) of its own.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// From the first byte of a message to its last. It begins anew when the peer has taken what
    /// was pushed to it meanwhile and had to wait for room.
    pub message: Option<Duration>,
    /// Without taking any byte of the replies and pushes that wait for it.
    pub write: Option<Duration>,
    /// Without sending or taking anything at all. While a message is not complete, `message`
    /// counts instead.
    pub idle: Option<Duration>,
}

/// What the server waits for at one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// Nothing of the peer's: a worker has its messages, or will have them.
    Worker,
    /// The rest of a message.
    Message,
    /// Room for replies: the peer must take some.
    Room,
    /// The acknowledgement of the last replies and of our FIN.
    LastAck,
    /// The peer's FIN.
    Fin,
    /// Whatever the peer does next.
    Anything,
}

/// How long one peer has been waited for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Deadline {
    /// What was waited for, and how far the peer had come, when the time began.
    mark: u32,
    /// When the time began.
    since: Option<Stamp>,
    /// When the timer wheel reports the peer, if it is in the wheel.
    armed: Option<Stamp>,
}

/// What is true of a peer that the timer wheel reports.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Another entry of the wheel stands for the peer, or none is needed.
    Superseded,
    /// The peer has time left.
    InTime,
    /// The peer has used up its time.
    Overdue,
}

/// Gives each peer of a reactor its time, and reports the peers whose time may be over.
///
/// A deadline is armed lazily: progress does not move it. When the wheel reports a peer,
/// its state then decides whether it was slow or is given time anew.
#[derive(Debug)]
pub(crate) struct Patience {
    clock: Clock,
    wheel: TimerWheel,
    timeouts: Timeouts,
}

/// How long a peer that acknowledged our FIN may take to send its own. Also how often the
/// server looks whether it has acknowledged it, because no event reports that.
const LINGER: Duration = Duration::from_secs(1);

impl Waiting {
    /// How long it may take.
    fn limit(self, timeouts: &Timeouts) -> Option<Duration> {
        match self {
            Waiting::Worker => None,
            Waiting::Message => timeouts.message,
            Waiting::Room | Waiting::LastAck => timeouts.write,
            Waiting::Fin => Some(LINGER),
            Waiting::Anything => timeouts.idle,
        }
    }

    /// When to look at the peer, with `left` of its limit or without a limit.
    fn next_look(self, left: Option<Duration>) -> Option<Duration> {
        match self {
            Waiting::LastAck => Some(LINGER),
            _ => left,
        }
    }

    /// What is waited for and the peer's progress with it, in four bytes. When the mark
    /// changes the peer's time begins anew. It does not change if the peer makes a multiple of
    /// 512 MiB of progress between two looks.
    fn mark(self, progress: u64) -> u32 {
        (self as u32) << 29 | progress as u32 & (u32::MAX >> 3)
    }
}

impl Deadline {
    /// Returns whether the peer has made progress since its time began.
    pub(crate) fn has_progress(&self, waiting: Waiting, progress: u64) -> bool {
        waiting.mark(progress) != self.mark
    }
}

impl Patience {
    pub(crate) fn new(timeouts: Timeouts) -> Patience {
        Patience { clock: Clock::new(), wheel: TimerWheel::new(), timeouts }
    }

    /// Updates the deadline of a peer after a visit, and arms it so that the wheel reports
    /// the peer in time.
    ///
    /// `progress` grows as the peer does what is waited for. It may cost a system call, so
    /// it is asked for only where there is a limit.
    pub(crate) fn update(
        &mut self,
        token: Token,
        deadline: &mut Deadline,
        waiting: Waiting,
        progress: impl FnOnce() -> u64,
    ) {
        let limit = waiting.limit(&self.timeouts);
        if waiting.next_look(limit).is_none() {
            return;
        }
        let (now, mark) = (self.clock.now(), waiting.mark(progress()));
        if deadline.mark != mark {
            (deadline.mark, deadline.since) = (mark, Some(now.stamp()));
        }
        let spent = deadline.since.map_or(Duration::ZERO, |since| since.age(now));
        let left = limit.map(|limit| limit.saturating_sub(spent));
        let due = now.after(waiting.next_look(left).unwrap_or_default());
        if deadline.armed.is_none_or(|armed| due.stamp().is_before(armed)) {
            deadline.armed = Some(self.wheel.arm(token, due, now).stamp());
        }
    }

    /// Takes the report of the wheel about a peer. The entry is used up, unless another one
    /// stands for the peer.
    pub(crate) fn take_report(
        &self,
        deadline: &mut Deadline,
        waiting: Waiting,
        progress: impl FnOnce() -> u64,
        now: Tick,
    ) -> Check {
        if deadline.armed.is_none_or(|armed| now.stamp().is_before(armed)) {
            return Check::Superseded;
        }
        deadline.armed = None;
        let (Some(limit), Some(since)) = (waiting.limit(&self.timeouts), deadline.since) else {
            return Check::InTime;
        };
        let is_slow = !deadline.has_progress(waiting, progress()) && since.age(now) >= limit;
        if is_slow { Check::Overdue } else { Check::InTime }
    }

    pub(crate) fn now(&self) -> Tick {
        self.clock.now()
    }

    /// That instant, by the clock of this reactor.
    pub(crate) fn at(&self, instant: Instant) -> Tick {
        self.clock.at(instant)
    }

    /// When the wheel has something to report.
    pub(crate) fn next(&self) -> Option<Tick> {
        self.wheel.next()
    }

    /// Moves the peers that the wheel reports by `now` into `out`.
    pub(crate) fn expire(&mut self, now: Tick, out: &mut Vec<Token>) {
        self.wheel.expire(now, out);
    }
}

#[cfg(test)]
impl Patience {
    /// Returns whether a peer that has a limit is missing from the wheel.
    pub(crate) fn has_forgotten(&self, deadline: &Deadline, waiting: Waiting) -> bool {
        let now = self.clock.now();
        let limit = waiting.limit(&self.timeouts);
        let is_overdue = deadline.armed.is_none_or(|armed| !armed.age(now).is_zero());
        waiting.next_look(limit).is_some() && is_overdue
    }
}
