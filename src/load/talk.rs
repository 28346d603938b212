//! What is done on one connection of a load: read, check, ask on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::connection::SCRATCH;
use crate::load::lane::{Answer, Failure, Lane, Part, Phase};
use crate::load::pace::Pace;
use crate::load::script::Script;
use crate::load::{Outcome, Plan};
use crate::poll::Event;

/// Talks on the connections of one generator, one visit at a time.
#[derive(Debug)]
pub(crate) struct Talk {
    script: Arc<Script>,
    pub(crate) pace: Pace,
    /// How many messages of a connection may be unanswered.
    pipeline: u64,
    /// How many messages are sent on a connection before it is opened anew.
    reconnect_every: u64,
    /// Whether connections rest when all is said, instead of taking their leave.
    pub(crate) holds: bool,
    /// When it is too late to send more.
    pub(crate) until: Option<Instant>,
    /// Since when time counts, and how much had been counted before.
    counting: Option<(Instant, Duration)>,
    scratch: Box<[u8]>,
    out: Vec<u8>,
    pub(crate) outcome: Outcome,
}

/// What is to become of a connection after a visit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Stays,
    /// All is said, and it is to be held.
    Rests,
    /// It is over, and another takes its place.
    Returns,
    /// It is over, as it should be.
    Ends,
}

impl Talk {
    pub(crate) fn new(plan: &Plan, script: Arc<Script>) -> Talk {
        let (until, counting, out) = Default::default();
        Talk {
            script,
            pace: Pace::Closed,
            pipeline: plan.pipeline as u64,
            reconnect_every: plan.reconnect_every.unwrap_or(u64::MAX),
            holds: plan.hold.is_some(),
            until,
            counting,
            scratch: vec![0; SCRATCH].into(),
            out,
            outcome: Outcome::new(plan),
        }
    }

    /// From now on messages and their time count.
    pub(crate) fn count_from(&mut self, now: Instant) {
        self.counting = Some((now, self.outcome.time));
    }

    /// Time does not count, until it does again.
    pub(crate) fn pause(&mut self) {
        self.counting = None;
    }

    /// Connections that were held are to be echoed once more, now, and closed.
    pub(crate) fn say_one_more(&mut self, now: Instant) {
        (self.pace, self.until, self.holds) = (Pace::Closed, None, false);
        self.count_from(now);
    }

    /// It was told to stop: what was done so far counts.
    pub(crate) fn interrupt(&mut self, now: Instant) {
        self.outcome.interrupted = true;
        self.time_is(now);
    }

    /// Epoll has told something of an open connection.
    pub(crate) fn ready(&mut self, lane: &mut Lane, event: Event) -> Result<Fate, Failure> {
        if event.is_writable() {
            lane.connection.flush().map_err(Failure::Broken)?;
        }
        if event.is_readable() || event.is_error() {
            return self.read(lane);
        }
        Ok(Fate::Stays)
    }

    /// Asks on, if there is something to be asked now; with nothing left to ask or to
    /// be answered, it rests or takes its leave.
    pub(crate) fn ask(&mut self, lane: &mut Lane, now: Instant) -> Result<Fate, Failure> {
        if lane.phase != Phase::Talking {
            return Ok(Fate::Stays);
        }
        let left = self.left(lane, now);
        let count = left.min(self.room(lane)).min(self.due(lane, now));
        lane.ask(&self.script, count, now, &mut self.out)?;
        match lane.unanswered() {
            0 if left == 0 && self.holds => {
                lane.phase = Phase::Ready;
                Ok(Fate::Rests)
            }
            0 if left == 0 || self.room(lane) == 0 => lane.leave(now).map(|()| Fate::Stays),
            _ => Ok(Fate::Stays),
        }
    }

    /// Time is up: in an open loop, what was due before is sent if there is room for it,
    /// and counted if not.
    pub(crate) fn call_time(&mut self, lane: &mut Lane, until: Instant) -> Result<Fate, Failure> {
        let now = Instant::now();
        if matches!(self.pace, Pace::Open(_)) {
            let due = self
                .asked_before(&lane.part, until)
                .min(lane.part.most)
                .saturating_sub(lane.part.asked());
            let room = if lane.phase == Phase::Talking { self.room(lane) } else { 0 };
            self.outcome.unsent += due.saturating_sub(room);
            lane.ask(&self.script, due.min(room), now, &mut self.out)?;
        }
        self.ask(lane, now)
    }

    /// A connection has failed.
    pub(crate) fn count_failure(&mut self, failure: &Failure) {
        match failure {
            Failure::Mismatch(_) => self.outcome.mismatches += 1,
            _ => self.outcome.errors += 1,
        }
        if let Some(why) = failure.to_connect() {
            *self.outcome.connections.failures.entry(why).or_default() += 1;
        }
        self.outcome.complain(failure.to_string(), 1);
        if self.outcome.messages == 0 {
            self.time_is(Instant::now());
        }
    }

    /// The socket of a connection is closed, however it went.
    pub(crate) fn closed(&mut self, lane: &Lane) {
        let tally = lane.connection.tally();
        self.outcome.bytes_sent += tally.sent;
        self.outcome.bytes_received += tally.received;
    }

    /// A part is played to its end: what was said while warming up does not count.
    pub(crate) fn gone(&mut self, part: &Part) {
        let (asked, answered) = part.uncounted();
        let (message, reply) = self.script.lengths();
        let take = |bytes: &mut u64, uncounted| *bytes = bytes.saturating_sub(uncounted);
        take(&mut self.outcome.bytes_sent, asked * message);
        take(&mut self.outcome.bytes_received, answered * reply);
    }

    /// How many messages it has ever asked, or should have asked, before `now`.
    pub(crate) fn asked_before(&self, part: &Part, now: Instant) -> u64 {
        match &self.pace {
            Pace::Closed => part.asked(),
            Pace::Open(schedule) => {
                schedule.due_by(part.place.into(), now - Duration::from_nanos(1))
            }
        }
    }

    /// How many messages it may still ask.
    fn left(&self, lane: &Lane, now: Instant) -> u64 {
        let is_late = self.until.is_some_and(|until| until <= now);
        if is_late { 0 } else { lane.part.most.saturating_sub(lane.part.asked()) }
    }

    /// How many it may ask before it has a reply, or another connection.
    fn room(&self, lane: &Lane) -> u64 {
        let here = self.reconnect_every - lane.asked_here();
        here.min(self.pipeline.saturating_sub(lane.unanswered()))
    }

    /// How many of these are due.
    fn due(&self, lane: &Lane, now: Instant) -> u64 {
        match &self.pace {
            Pace::Closed => u64::MAX,
            Pace::Open(schedule) => {
                schedule.due_by(lane.part.place.into(), now).saturating_sub(lane.part.asked())
            }
        }
    }

    fn read(&mut self, lane: &mut Lane) -> Result<Fate, Failure> {
        let (pace, place, outcome) = (&self.pace, lane.part.place.into(), &mut self.outcome);
        let answered = |answer: Answer, now| {
            let due = match pace {
                Pace::Closed => None,
                Pace::Open(schedule) => Some(schedule.due(place, answer.index)),
            };
            outcome.answered(answer, due, now);
        };
        let Some(now) = lane.read(&self.script, &mut self.scratch, answered)? else {
            let goes_on = self.holds || self.left(lane, Instant::now()) > 0;
            return Ok(if goes_on { Fate::Returns } else { Fate::Ends });
        };
        if lane.phase == Phase::Talking {
            self.time_is(now);
        }
        self.ask(lane, now)
    }

    fn time_is(&mut self, now: Instant) {
        if let Some((since, before)) = self.counting {
            self.outcome.time = before + (now - since);
        }
    }
}
