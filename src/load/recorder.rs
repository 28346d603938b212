//! Records what one generator does, in steps of time.

use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::load::outcome::{Outcome, histogram};
use crate::load::step::{StepClock, StepRecord};

/// Records what one generator does, in steps of time.
///
/// Replies are recorded in the latency of the generator's outcome, and nowhere else. When a step
/// ends, that histogram is handed over whole and another one takes its place, so that steps cost
/// nothing per message.
#[derive(Debug)]
pub(crate) struct Recorder {
    clock: StepClock,
    /// The step that has not ended.
    step: u64,
    /// When it ends, or with nobody to take it when the next would.
    ends: Instant,
    /// The totals of the outcome when it began.
    errors: u64,
    reopened: u64,
    records: Sender<Recorded>,
}

/// A step that has ended on one generator.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) record: StepRecord,
    /// The step that follows on this generator.
    pub(crate) next: u64,
}

impl Recorder {
    /// The generator alone sends to `records`.
    pub(crate) fn new(clock: StepClock, records: Sender<Recorded>) -> Recorder {
        let (step, errors, reopened) = (clock.first(), 0, 0);
        Recorder { clock, step, ends: clock.end(step), errors, reopened, records }
    }

    /// How long after `now` to call [`end_step`](Self::end_step): whole milliseconds, which every
    /// kernel waits for in one call.
    pub(crate) fn left(&self, now: Instant) -> Duration {
        let left = self.ends.saturating_duration_since(now).as_millis();
        Duration::from_millis(left as u64 + 1)
    }

    /// Hands the step over, if it has ended by `now`, with as many connections open.
    ///
    /// Nobody takes it while the program waits for a terminal that does not read. The step then
    /// goes on, so that the memory for steps is bounded.
    pub(crate) fn end_step(&mut self, now: Instant, open: u64, outcome: &mut Outcome) {
        if now < self.ends {
            return;
        }
        let next = self.clock.number(now);
        self.ends = self.clock.end(next);
        if !self.records.is_full() {
            let record = self.take(open, outcome);
            // It has room. Nobody receives it if the load was dropped.
            let _ = self.records.try_send(Recorded { record, next });
            self.step = next;
        }
    }

    /// Takes what the outcome has of this step.
    pub(crate) fn take(&mut self, open: u64, outcome: &mut Outcome) -> StepRecord {
        let errors = outcome.errors + outcome.mismatches;
        let reopened = outcome.connections.reopened + outcome.outages.reconnects;
        let latency = (!outcome.latency.is_empty())
            .then(|| std::mem::replace(&mut outcome.latency, histogram()));
        StepRecord {
            number: self.step,
            ended: self.clock.end(self.step),
            latency,
            open,
            errors: errors - std::mem::replace(&mut self.errors, errors),
            reopened: reopened - std::mem::replace(&mut self.reopened, reopened),
        }
    }
}
