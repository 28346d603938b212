//! Adds up the steps of all generators.

use crossbeam_channel::Receiver;
use hdrhistogram::Histogram;

use crate::load::outcome::histogram;
use crate::load::recorder::Recorded;
use crate::load::step::{StepClock, StepRecord};

/// Adds up the steps of all generators, and their latency over the whole load.
#[derive(Debug)]
pub(crate) struct Collector {
    clock: StepClock,
    /// The step to be taken next.
    next: u64,
    sources: Vec<Source>,
    latency: Histogram<u64>,
}

/// The steps of one generator.
#[derive(Debug)]
struct Source {
    records: Receiver<Recorded>,
    /// The one that was received last, if it has not been added up.
    front: Option<Recorded>,
    /// What the generator did in its last step, once it has ended.
    rest: Option<Recorded>,
    has_ended: bool,
}

/// How many steps of a generator may wait, each with up to 270 KB: a second, so that a program
/// which is late for want of a CPU misses none.
pub(crate) const STEPS_WAITING: usize = 10;

impl Collector {
    pub(crate) fn new(clock: StepClock, records: Vec<Receiver<Recorded>>) -> Collector {
        let source = |records| Source { records, front: None, rest: None, has_ended: false };
        let sources = records.into_iter().map(source).collect();
        Collector { clock, next: clock.first(), sources, latency: histogram() }
    }

    /// A generator has ended, with the rest of its replies.
    pub(crate) fn end(&mut self, generator: usize, rest: StepRecord) {
        let source = &mut self.sources[generator];
        source.rest = Some(Recorded { next: rest.number + 1, record: rest });
        source.has_ended = true;
    }

    /// Takes the next step, once it has ended on all generators. The last one is the last step of
    /// the last generator.
    pub(crate) fn next(&mut self) -> Option<StepRecord> {
        let is_known = self.sources.iter_mut().all(Source::receive);
        if !is_known || self.sources.iter().all(|source| source.front.is_none()) {
            return None;
        }
        let mut step = self.clock.nothing(self.next);
        self.sources.iter_mut().for_each(|source| source.add_to(&mut step));
        self.next += 1;
        if let Some(latency) = &step.latency {
            self.latency += latency;
        }
        Some(step)
    }

    /// Takes the latencies of all steps so far, also those that were not taken.
    pub(crate) fn take_latency(&mut self) -> Histogram<u64> {
        while self.next().is_some() {}
        std::mem::replace(&mut self.latency, histogram())
    }
}

impl Source {
    /// Receives the record of the next step. Returns whether it is there, or will never be.
    fn receive(&mut self) -> bool {
        if self.front.is_none() {
            self.front = self.records.try_recv().ok().or_else(|| self.rest.take());
        }
        self.front.is_some() || self.has_ended
    }

    /// Adds what the generator did in this step. A record may be of several steps: then all that
    /// happened belongs to the first, and the others have its open connections.
    fn add_to(&mut self, step: &mut StepRecord) {
        let Some(Recorded { record, next }) = &mut self.front else {
            return;
        };
        step.open += record.open;
        if record.number == step.number {
            step.add(record);
        }
        if *next == step.number + 1 {
            self.front = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replies(nothing: StepRecord, latencies: &[u64], open: u64) -> StepRecord {
        let mut histogram = histogram();
        latencies.iter().for_each(|&it| histogram.record(it).expect("it fits"));
        let latency = (!latencies.is_empty()).then_some(histogram);
        StepRecord { latency, open, errors: 1, ..nothing }
    }

    #[test]
    fn a_step_is_over_when_it_is_on_all_threads_and_no_reply_is_lost() {
        let clock = StepClock::start();
        let first = clock.first();
        let step = |after| clock.nothing(first + after);
        let (senders, receivers): (Vec<_>, _) =
            (0..2).map(|_| crossbeam_channel::bounded(STEPS_WAITING)).unzip();
        let mut collector = Collector::new(clock, receivers);
        let send = |thread: usize, record: StepRecord, next| {
            senders[thread].send(Recorded { record, next }).expect("there is room");
        };
        let mut next = || {
            let step = collector.next()?;
            Some((step.number - first, step.messages(), step.errors, step.open))
        };
        send(0, replies(step(0), &[10, 20], 5), first + 1);
        assert_eq!(next(), None);
        // This thread was stopped for three steps.
        send(1, replies(step(0), &[30], 7), first + 3);
        assert_eq!((next(), next()), (Some((0, 3, 2, 12)), None));
        send(0, replies(step(1), &[], 4), first + 2);
        send(0, replies(step(2), &[40], 3), first + 3);
        assert_eq!((next(), next(), next()), (Some((1, 0, 1, 11)), Some((2, 1, 1, 10)), None));
        // It ends, and the other a step later.
        collector.end(0, replies(step(3), &[50], 0));
        send(1, replies(step(3), &[], 7), first + 4);
        collector.end(1, replies(step(4), &[60], 0));
        let mut next = || collector.next().map(|step| (step.number - first, step.messages()));
        assert_eq!((next(), next(), next()), (Some((3, 1)), Some((4, 1)), None));
        let latency = collector.take_latency();
        assert_eq!((latency.len(), latency.min(), latency.max()), (6, 10, 60));
    }
}
