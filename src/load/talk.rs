//! What is done on one connection of a load: read, check, ask on.

use std::sync::Arc;
use std::time::Instant;

use crate::connection::SCRATCH;
use crate::load::lane::{Failure, Lane, Phase};
use crate::load::script::Script;
use crate::load::{Outcome, Plan};
use crate::poll::Event;

/// Talks on the connections of one generator, one visit at a time.
#[derive(Debug)]
pub(crate) struct Talk {
    script: Arc<Script>,
    /// How many messages of a connection may be unanswered.
    pipeline: usize,
    /// How many messages each connection sends.
    most: u64,
    /// When it is too late to send more.
    pub(crate) until: Option<Instant>,
    started: Option<Instant>,
    scratch: Box<[u8]>,
    out: Vec<u8>,
    pub(crate) outcome: Outcome,
}

/// What is to become of a connection after a visit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Stays,
    /// It is over, as it should be.
    Ends,
}

impl Talk {
    pub(crate) fn new(plan: &Plan, script: Arc<Script>) -> Talk {
        let (until, started, out) = Default::default();
        Talk {
            script,
            pipeline: plan.pipeline,
            most: plan.messages.unwrap_or(u64::MAX),
            until,
            started,
            scratch: vec![0; SCRATCH].into(),
            out,
            outcome: Outcome::new(plan.connections),
        }
    }

    /// The time is taken from now on.
    pub(crate) fn start(&mut self, plan: &Plan, now: Instant) {
        self.started = Some(now);
        self.until = plan.duration.map(|duration| now + duration);
    }

    pub(crate) fn has_started(&self) -> bool {
        self.started.is_some()
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

    /// Asks on, if there is something to be asked; or else takes its leave, once
    /// all is answered.
    pub(crate) fn ask(&mut self, lane: &mut Lane, now: Instant) -> Result<Fate, Failure> {
        let is_late = self.until.is_some_and(|until| until <= now);
        let most = if is_late { 0 } else { self.most };
        lane.ask(&self.script, self.pipeline, most, now, &mut self.out)?;
        Ok(Fate::Stays)
    }

    /// A connection has failed.
    pub(crate) fn count(&mut self, failure: &Failure) {
        match failure {
            Failure::Mismatch(_) => self.outcome.mismatches += 1,
            _ => self.outcome.errors += 1,
        }
        if matches!(failure, Failure::Connect(_) | Failure::ConnectTimeout) {
            self.outcome.connections.failed += 1;
        }
        self.outcome.complain(failure.to_string(), 1);
        if self.outcome.messages == 0 {
            self.time_is(Instant::now());
        }
    }

    /// A connection is closed, however it went.
    pub(crate) fn closed(&mut self, lane: &Lane) {
        let tally = lane.connection.tally();
        self.outcome.bytes_sent += tally.sent;
        self.outcome.bytes_received += tally.received;
    }

    fn read(&mut self, lane: &mut Lane) -> Result<Fate, Failure> {
        let before = lane.answered();
        let latency = &mut self.outcome.latency;
        let result = lane.read(&self.script, &mut self.scratch, latency);
        self.outcome.messages += lane.answered() - before;
        let Some(now) = result? else {
            return Ok(Fate::Ends);
        };
        if lane.phase == Phase::Talking {
            self.time_is(now);
            return self.ask(lane, now);
        }
        Ok(Fate::Stays)
    }

    fn time_is(&mut self, now: Instant) {
        if let Some(started) = self.started {
            self.outcome.time = now - started;
        }
    }
}
