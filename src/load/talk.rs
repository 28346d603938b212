//! What is done on one connection of a load: read, check, ask on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::load::lane::{Answer, Failure, Lane, Part, Phase};
use crate::load::schedule::Pace;
use crate::load::script::Script;
use crate::load::{Outcome, Plan};
use crate::net::connection::SCRATCH;
use crate::net::poll::Event;

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
    /// Until when what is sent does not count: what is due from then on is not sent before.
    pub(crate) warm_until: Option<Instant>,
    /// Since when time counts, and how much had been counted before.
    counting: Option<(Instant, Duration)>,
    /// How many messages are handed over with one write.
    at_once: u64,
    /// How many messages that count were asked by those who are gone.
    pub(crate) asked_by_the_gone: u64,
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

/// Bytes that are handed over with one write, unless one message has more.
const AT_ONCE: u64 = 1024 * 1024;

impl Talk {
    pub(crate) fn new(plan: &Plan, script: Arc<Script>) -> Talk {
        let (until, warm_until, counting, out) = Default::default();
        Talk {
            script,
            pace: Pace::Closed,
            pipeline: plan.pipeline as u64,
            reconnect_every: plan.reconnect_every.unwrap_or(u64::MAX),
            holds: plan.hold.is_some(),
            until,
            warm_until,
            counting,
            at_once: (AT_ONCE / plan.size as u64).max(1),
            asked_by_the_gone: 0,
            scratch: vec![0; SCRATCH].into(),
            out,
            outcome: Outcome::new(plan),
        }
    }

    /// From now on messages and their time count.
    pub(crate) fn count_from(&mut self, now: Instant) {
        self.warm_until = None;
        self.counting = Some((now, self.outcome.time));
    }

    /// Time does not count, until it does again.
    pub(crate) fn pause(&mut self) {
        self.counting = None;
    }

    /// Connections that were held are to be echoed once more, now, and closed.
    pub(crate) fn say_one_more(&mut self, now: Instant) {
        (self.pace, self.until, self.holds) = (Pace::Closed, None, false);
        // Who was held is who echoes.
        self.reconnect_every = u64::MAX;
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
        self.ask(lane, Instant::now())
    }

    /// Asks on, if there is something to be asked now; with nothing left to ask or to
    /// be answered, it rests or takes its leave.
    pub(crate) fn ask(&mut self, lane: &mut Lane, now: Instant) -> Result<Fate, Failure> {
        if lane.phase != Phase::Talking {
            return Ok(Fate::Stays);
        }
        let left = self.left(lane, now);
        let count = left.min(self.room(lane)).min(self.due(lane, now)).min(self.at_once(lane));
        lane.ask(&self.script, count, now, &mut self.out)?;
        match lane.unanswered() {
            0 if left == 0 && self.holds => {
                lane.phase = Phase::Resting;
                Ok(Fate::Rests)
            }
            0 if left == 0 || self.room(lane) == 0 => lane.leave(now).map(|()| Fate::Stays),
            _ => Ok(Fate::Stays),
        }
    }

    /// Time is up: in an open loop, what was due before is sent if there is room for it.
    pub(crate) fn call_time(&mut self, lane: &mut Lane, until: Instant) -> Result<Fate, Failure> {
        let now = Instant::now();
        if let (Pace::Open(_), Phase::Talking) = (self.pace, lane.phase) {
            let due = self.due_before(lane.part.place, until);
            let due = due.saturating_sub(lane.part.turn(lane.part.asked()));
            let left = lane.part.most - lane.part.asked();
            lane.ask(&self.script, due.min(left).min(self.room(lane)), now, &mut self.out)?;
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

    /// A part is played to its end: what was said while warming up does not count.
    pub(crate) fn gone(&mut self, part: &Part) {
        let (message, reply) = self.script.lengths();
        let bytes = part.bytes(message, reply);
        self.outcome.bytes_sent += bytes.sent;
        self.outcome.bytes_received += bytes.received;
        self.asked_by_the_gone += part.counted();
    }

    /// How many messages of the connection at this place were due before `now`; none in a
    /// closed loop.
    pub(crate) fn due_before(&self, place: u32, now: Instant) -> u64 {
        match &self.pace {
            Pace::Closed => 0,
            Pace::Open(schedule) => schedule.due_by(place.into(), now - Duration::from_nanos(1)),
        }
    }

    /// Since when messages count.
    pub(crate) fn counted_since(&self) -> Option<Instant> {
        self.counting.map(|(since, _)| since)
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

    /// How many it may hand over at once: what the kernel does not take, we hold.
    fn at_once(&self, lane: &Lane) -> u64 {
        if lane.connection.has_unsent() { 0 } else { self.at_once }
    }

    /// How many of these are due.
    fn due(&self, lane: &Lane, now: Instant) -> u64 {
        match &self.pace {
            Pace::Closed => u64::MAX,
            Pace::Open(schedule) => {
                let due = match self.warm_until {
                    Some(until) if until <= now => self.due_before(lane.part.place, until),
                    _ => schedule.due_by(lane.part.place.into(), now),
                };
                due.saturating_sub(lane.part.turn(lane.part.asked()))
            }
        }
    }

    fn read(&mut self, lane: &mut Lane) -> Result<Fate, Failure> {
        let (pace, place, outcome) = (&self.pace, lane.part.place.into(), &mut self.outcome);
        let answered = |answer: Answer, now| {
            let due = match pace {
                Pace::Closed => None,
                Pace::Open(schedule) => Some(schedule.due(place, answer.turn)),
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
            self.outcome.ended = Some(now);
        }
    }
}
