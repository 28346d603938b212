//! The exchange of messages and replies on one connection.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::load::failure::Failure;
use crate::load::lane::{Lane, LaneState, Verified};
use crate::load::outcome::Outcome;
use crate::load::payload::Payload;
use crate::load::plan::{Close, OnError, Plan};
use crate::load::schedule::Schedule;
use crate::load::sequence::Sequence;
use crate::load::think::Think;
use crate::net::connection::{Received, SCRATCH};
use crate::net::poll::Event;
use crate::net::socket::Socket;

/// Exchanges messages and replies on the connections of one generator.
#[derive(Debug)]
pub(crate) struct Exchange {
    payload: Arc<Payload>,
    /// When messages are due, or `None` in a closed loop.
    pub(crate) schedule: Option<Schedule>,
    /// How many messages of a connection may be unanswered.
    pipeline: u64,
    /// How long a connection waits between a reply and its next message.
    think: Option<Think>,
    /// How many messages a connection sends before another replaces it.
    reconnect_every: u64,
    /// Whether connections are held after their last reply, instead of closed.
    pub(crate) holds: bool,
    /// How a connection ends after its last reply.
    close: Close,
    /// When the warm-up ends. Messages due after that are not sent before.
    pub(crate) warm_until: Option<Instant>,
    /// When the duration ends. No message is sent after that.
    pub(crate) until: Option<Instant>,
    /// Whether lost connections are opened again.
    reconnects: bool,
    /// Whether that goes on until the duration is over. Otherwise it is given up after `timeout`.
    has_duration: bool,
    timeout: Duration,
    /// What `outcome.time` is measured by, while messages count.
    period: Option<Period>,
    /// How many messages one write may hold.
    batch: u64,
    /// How many messages that count were sent on connections that are closed.
    sent_by_closed: u64,
    scratch: Box<[u8]>,
    out: Vec<u8>,
    pub(crate) outcome: Outcome,
}

/// A time in which messages count.
#[derive(Debug, Clone, Copy)]
struct Period {
    start: Instant,
    /// The length of the periods before.
    earlier: Duration,
}

/// What a connection needs after an exchange.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NextStep {
    /// To wait for its next event.
    Wait,
    /// To send its next message at this moment.
    Think(Instant),
    /// To wait for the server to close it.
    AwaitClose,
    /// To be held: it has all its replies.
    Hold,
    /// To be replaced by another: it is closed, and its sequence is not complete.
    Reconnect,
    /// To be removed: it is closed.
    Close,
}

/// The bytes of one write, unless a single message is longer.
const BATCH: u64 = 1024 * 1024;

impl Exchange {
    pub(crate) fn new(plan: &Plan, payload: Arc<Payload>) -> Exchange {
        let (schedule, warm_until, until, period, sent_by_closed, out) = Default::default();
        Exchange {
            payload,
            schedule,
            pipeline: plan.pipeline as u64,
            think: plan.think,
            reconnect_every: plan.reconnect_every.unwrap_or(u64::MAX),
            holds: plan.hold.is_some(),
            close: plan.close,
            warm_until,
            until,
            reconnects: plan.on_error == OnError::Reconnect,
            has_duration: plan.duration.is_some(),
            timeout: plan.timeout,
            period,
            batch: (BATCH / plan.body.longest() as u64).max(1),
            sent_by_closed,
            scratch: vec![0; SCRATCH].into(),
            out,
            outcome: Outcome::new(plan),
        }
    }

    /// Handles an event of an open connection: writes what the kernel did not take
    /// before, receives and verifies replies, and sends the next messages.
    pub(crate) fn ready(&mut self, lane: &mut Lane, event: Event) -> Result<NextStep, Failure> {
        if event.is_writable() {
            lane.connection.flush().map_err(Failure::Broken)?;
        }
        if !event.is_readable() && !event.is_error() {
            return self.send(lane, Instant::now());
        }
        self.receive(lane)
    }

    /// Receives and verifies replies, and sends the next messages.
    fn receive(&mut self, lane: &mut Lane) -> Result<NextStep, Failure> {
        let received = lane.connection.receive(&mut self.scratch);
        let now = Instant::now();
        match received {
            Ok(Received::NotYet) => {}
            Ok(Received::Bytes(count)) => {
                let (schedule, place) = (self.schedule, lane.sequence.place);
                let on_reply = |reply: Verified| {
                    let due = schedule.map(|schedule| schedule.due(place.into(), reply.index));
                    self.outcome.add_reply(reply, due, now);
                };
                let answered = lane.sequence.answered();
                let awaited = lane.sequence.outage.as_ref().and_then(|_| lane.waits_since());
                lane.receive(&self.payload, &self.scratch[..count], on_reply)?;
                if lane.sequence.answered() > answered {
                    self.think(&mut lane.sequence, now);
                    if let Some(sent) = awaited {
                        self.outcome.end_outage(&mut lane.sequence, now - sent);
                    }
                }
                if lane.state == LaneState::Active {
                    self.extend_period(self.slot_end(lane).map_or(now, |end| end.max(now)));
                }
            }
            Ok(Received::Eof) if lane.state == LaneState::Closing => {
                return Ok(self.after_close(lane, now));
            }
            Ok(Received::Eof) => return Err(Failure::Closed(lane.sequence.unanswered())),
            Err(error) => return self.after_error(lane, error, now),
        }
        self.send(lane, now)
    }

    /// Sends the messages that the connection may send now. If none is left to send or
    /// to be answered, the connection is held or half-closed.
    pub(crate) fn send(&mut self, lane: &mut Lane, now: Instant) -> Result<NextStep, Failure> {
        if lane.state != LaneState::Active {
            return Ok(NextStep::Wait);
        }
        let left = self.left(&lane.sequence, now);
        let batch = if lane.connection.has_unsent() { 0 } else { self.batch };
        let count = left.min(self.room(lane)).min(self.due(lane, now)).min(batch);
        lane.send(&self.payload, count, now, &mut self.out)?;
        if lane.sequence.unanswered() > 0 {
            return Ok(NextStep::Wait);
        }
        if left == 0 && self.holds {
            lane.state = LaneState::Held;
            return Ok(NextStep::Hold);
        }
        if left == 0 || self.room(lane) == 0 {
            return self.end(lane, now);
        }
        Ok(lane.sequence.thinks_until.map_or(NextStep::Wait, NextStep::Think))
    }

    /// Has a connection wait before its next message, now that a reply has arrived.
    fn think(&self, sequence: &mut Sequence, now: Instant) {
        sequence.thinks_until =
            self.think.map(|think| now + think.before(sequence.connection, sequence.answered()));
    }

    /// Ends a connection after its last reply.
    fn end(&self, lane: &mut Lane, now: Instant) -> Result<NextStep, Failure> {
        if self.close == Close::Rst {
            lane.connection.socket().reset();
            return Ok(self.after_close(lane, now));
        }
        match lane.half_close(now) {
            Ok(()) => Ok(NextStep::AwaitClose),
            Err(error) => self.after_error(lane, error, now),
        }
    }

    /// A connection has waited for too long, unless what it waits for has arrived and it is this
    /// thread that is late. After the last reply that is an error only with [`Close::Strict`].
    pub(crate) fn time_out(&mut self, lane: &mut Lane) -> Result<NextStep, Failure> {
        if lane.state == LaneState::Connecting {
            return Err(lane.timeout());
        }
        let answered = lane.sequence.answered();
        let next = self.receive(lane)?;
        if next != NextStep::Wait || lane.sequence.answered() > answered {
            return Ok(next);
        }
        if lane.state != LaneState::Closing || self.close == Close::Strict {
            return Err(lane.timeout());
        }
        self.outcome.not_closed += 1;
        Ok(self.after_close(lane, Instant::now()))
    }

    /// Time is up. In an open loop the messages that were due before are still sent, as
    /// far as the pipeline has room for them.
    pub(crate) fn time_up(&mut self, lane: &mut Lane, until: Instant) -> Result<NextStep, Failure> {
        let now = Instant::now();
        if self.schedule.is_some() && lane.state == LaneState::Active {
            let due = self.due_before(lane.sequence.place, until);
            let due = due.saturating_sub(lane.sequence.index(lane.sequence.sent()));
            let count = due.min(lane.sequence.left()).min(self.room(lane));
            lane.send(&self.payload, count, now, &mut self.out)?;
        }
        self.send(lane, now)
    }

    /// Messages count from now on, and so does the time.
    pub(crate) fn start_period(&mut self, now: Instant) {
        self.warm_until = None;
        self.period = Some(Period { start: now, earlier: self.outcome.time });
    }

    /// Time does not count until the next period.
    pub(crate) fn end_period(&mut self) {
        self.period = None;
    }

    /// Since when messages count.
    pub(crate) fn counts_since(&self) -> Option<Instant> {
        self.period.map(|period| period.start)
    }

    /// From now on a connection that sends another message does so for the last time.
    pub(crate) fn prepare_last_echo(&mut self, now: Instant) {
        (self.schedule, self.until, self.holds) = (None, None, false);
        // The connections that were held are the ones that echo.
        (self.reconnect_every, self.has_duration) = (u64::MAX, false);
        self.start_period(now);
    }

    /// Ends the outcome here. The time that counts goes on until now, or `is_over` already.
    pub(crate) fn interrupt(&mut self, now: Instant, is_over: bool) {
        self.outcome.interrupted = true;
        if !is_over {
            self.end_at(now);
        }
    }

    /// A connection of this sequence has failed, and does not work since then. Returns whether
    /// another goes on with it.
    pub(crate) fn lose(
        &mut self,
        sequence: &mut Sequence,
        failure: Failure,
        since: Instant,
        was_open: bool,
    ) -> bool {
        let now = Instant::now();
        self.outcome.unanswered += sequence.abandon_unanswered();
        let is_first = !was_open && sequence.has_not_begun();
        let since = sequence.outage.as_ref().map_or(since, |outage| outage.since);
        let is_within = self.has_duration && self.until.is_none_or(|until| now < until);
        let is_given_up = !is_within && now >= since + self.timeout;
        let reopens = self.reconnects && !is_first && self.continues(sequence, now) && !is_given_up;
        self.outcome.add_lost(sequence, failure, since, reopens);
        reopens
    }

    /// A connection has waited for a reply until now. That time counts, too, but not beyond the
    /// duration.
    pub(crate) fn extend_to_failure(&mut self) {
        self.extend_period(self.end_or_now());
    }

    /// Now, or the end of the duration if that is past.
    fn end_or_now(&self) -> Instant {
        let now = Instant::now();
        self.until.map_or(now, |until| now.min(until))
    }

    /// Counts the bytes and messages of a sequence whose last connection is closed, and its
    /// outage if it has none that works.
    pub(crate) fn add_closed(&mut self, mut sequence: Sequence) {
        self.outcome.close_outage(&mut sequence, self.end_or_now());
        let bytes = sequence.counted_bytes();
        self.outcome.bytes_sent += bytes.sent;
        self.outcome.bytes_received += bytes.received;
        self.sent_by_closed += sequence.counted();
    }

    /// How many messages that count were sent on connections that are closed.
    pub(crate) fn sent_by_closed(&self) -> u64 {
        self.sent_by_closed
    }

    /// How many messages of the connection at this place were due before `now`; none in a
    /// closed loop.
    pub(crate) fn due_before(&self, place: u32, now: Instant) -> u64 {
        self.schedule.map_or(0, |schedule| schedule.due_before(place.into(), now))
    }

    /// How many messages a connection may still send.
    fn left(&self, sequence: &Sequence, now: Instant) -> u64 {
        let is_late = self.until.is_some_and(|until| until <= now);
        if is_late { 0 } else { sequence.left() }
    }

    /// How many messages a connection may send before its next reply, or before another
    /// connection replaces it.
    fn room(&self, lane: &Lane) -> u64 {
        let here = self.reconnect_every - lane.sent_here();
        here.min(self.pipeline.saturating_sub(lane.sequence.unanswered()))
    }

    /// How many messages of a connection are due and not sent.
    fn due(&self, lane: &Lane, now: Instant) -> u64 {
        let (Some(schedule), place) = (self.schedule, lane.sequence.place) else {
            let thinks = lane.sequence.thinks_until.is_some_and(|until| now < until);
            return if thinks { 0 } else { u64::MAX };
        };
        let due = match self.warm_until {
            Some(until) if until <= now => schedule.due_before(place.into(), until),
            _ => schedule.due_by(place.into(), now),
        };
        due.saturating_sub(lane.sequence.index(lane.sequence.sent()))
    }

    /// A call on a connection has failed. A reset after the last reply closes it, unless
    /// the plan is strict.
    fn after_error(
        &self,
        lane: &Lane,
        error: io::Error,
        now: Instant,
    ) -> Result<NextStep, Failure> {
        let is_reset =
            matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected);
        let is_close = lane.state == LaneState::Closing && self.close != Close::Strict;
        if is_close && is_reset {
            Ok(self.after_close(lane, now))
        } else {
            Err(Failure::Broken(error))
        }
    }

    /// A connection is closed after its last reply.
    fn after_close(&self, lane: &Lane, now: Instant) -> NextStep {
        if self.continues(&lane.sequence, now) { NextStep::Reconnect } else { NextStep::Close }
    }

    /// Whether another connection continues this sequence when its connection is closed.
    pub(crate) fn continues(&self, sequence: &Sequence, now: Instant) -> bool {
        self.holds || self.left(sequence, now) > 0
    }

    /// In an open loop: when the schedule's time for the message last answered is over. That is
    /// when the next message of any connection is due, or the duration ends. Over less time the
    /// rate of a few messages would be higher than that of the schedule.
    fn slot_end(&self, lane: &Lane) -> Option<Instant> {
        let (schedule, sequence) = (self.schedule?, &lane.sequence);
        let index = sequence.index(sequence.answered().checked_sub(1)?);
        let end = schedule.due(u64::from(sequence.place) + 1, index);
        Some(self.until.map_or(end, |until| end.min(until)))
    }

    /// The time that counts lasts at least until `to`.
    pub(crate) fn extend_period(&mut self, to: Instant) {
        if self.outcome.ended < Some(to) {
            self.end_at(to);
        }
    }

    fn end_at(&mut self, to: Instant) {
        if let Some(Period { start, earlier }) = self.period {
            self.outcome.time = earlier + (to - start);
            self.outcome.ended = Some(to);
        }
    }
}
