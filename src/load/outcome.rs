//! The results of a load.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::load::error_texts::ErrorTexts;
use crate::load::failure::Failure;
use crate::load::lane::Verified;
use crate::load::outage::{Outage, Outages};
use crate::load::plan::Plan;
use crate::load::sequence::Sequence;

/// The results of a load, or of one thread of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Replies that passed verification.
    pub messages: u64,
    /// Connections that failed, while opening or later, and were not opened again.
    pub errors: u64,
    /// Connections that received wrong bytes.
    pub mismatches: u64,
    /// Bytes sent, including framing.
    pub bytes_sent: u64,
    /// Bytes received, including framing.
    pub bytes_received: u64,
    /// Messages that were due, but not sent before time was up (open loop).
    pub unsent: u64,
    /// Messages that count and were sent, but whose reply was not verified: their connection
    /// failed.
    pub unanswered: u64,
    /// The outages of connections that failed and were to be opened again.
    pub outages: Outages,
    /// Connections that the server did not close within a second of the client's FIN, after
    /// their last reply.
    pub not_closed: u64,
    /// From the first message to the last reply, or to the failure of a connection that waited
    /// for one. It includes neither warm-up nor hold. It lasts at least for the duration, unless
    /// all messages of the plan were sent before. In an open loop it lasts at least until the
    /// message after the last one would be due, but not beyond the duration.
    pub time: Duration,
    /// How much of the duration had passed when the last connection failed, if that was before
    /// its end.
    pub ended_early: Option<Duration>,
    /// When that time ended.
    pub ended: Option<Instant>,
    /// The share of the duration in which the busiest thread ran or waited for a CPU. `None` if it
    /// is not known, or if the plan has no duration.
    pub busy: Option<f64>,
    /// Counts of connections.
    pub connections: Connections,
    /// Nanoseconds until the reply was received: in a closed loop since the message was
    /// handed to the kernel, in an open loop since it was due. While a thread runs, its own has
    /// only those of the current step.
    pub latency: Histogram<u64>,
    /// In an open loop: nanoseconds since the message was handed to the kernel.
    pub raw: Option<Histogram<u64>>,
    /// Texts of errors and mismatches, and how often each occurred.
    pub error_texts: ErrorTexts,
    /// Whether the load was stopped before its end.
    pub interrupted: bool,
}

/// Counts of connections.
#[derive(Debug, Clone)]
pub struct Connections {
    /// How many the plan has.
    pub requested: u64,
    /// How many of these were opened.
    pub opened: u64,
    /// How many of these could not be opened.
    pub failed: u64,
    /// From the first attempt until the last of these was open.
    pub time: Duration,
    /// How many were opened to replace another, as planned.
    pub reopened: u64,
    /// Nanoseconds that connections took to open, those that replace others included. One that
    /// could not be opened is in `failures` alone.
    pub connect: Histogram<u64>,
    /// Reasons for which connections could not be opened, and how often each occurred.
    pub failures: BTreeMap<String, u64>,
}

/// The longest latency that is recorded exactly: an hour, in nanoseconds.
const LONGEST: u64 = 3_600_000_000_000;
/// They limit the error of a latency to a thousandth.
const SIGNIFICANT_DIGITS: u8 = 3;

impl Outcome {
    pub(crate) fn new(plan: &Plan) -> Outcome {
        Outcome {
            messages: 0,
            errors: 0,
            mismatches: 0,
            bytes_sent: 0,
            bytes_received: 0,
            unsent: 0,
            unanswered: 0,
            outages: Outages::new(histogram()),
            not_closed: 0,
            time: Duration::ZERO,
            ended_early: None,
            ended: None,
            busy: None,
            connections: Connections::new(plan.connections as u64),
            latency: histogram(),
            raw: plan.rate.map(|_| histogram()),
            error_texts: ErrorTexts::default(),
            interrupted: false,
        }
    }

    /// Counts a reply that arrived now, with its latency: since its message was `due`, or
    /// in a closed loop since it was sent.
    pub(crate) fn add_reply(&mut self, reply: Verified, due: Option<Instant>, now: Instant) {
        if !reply.counts {
            return;
        }
        self.messages += 1;
        let since = |moment| now.saturating_duration_since(moment).as_nanos() as u64;
        self.latency.saturating_record(since(due.unwrap_or(reply.sent)));
        if let Some(raw) = &mut self.raw {
            raw.saturating_record(since(reply.sent));
        }
    }

    /// Counts a connection that failed; `is_first` if it was to begin its sequence.
    pub(crate) fn add_failure(&mut self, failure: &Failure, is_first: bool) {
        self.add_loss(failure);
        self.add_error(failure);
        self.connections.failed += u64::from(is_first && failure.connect_error().is_some());
    }

    /// Counts a connection that failed, and is no error if another goes on. Wrong bytes are.
    pub(crate) fn add_loss(&mut self, failure: &Failure) {
        if let Some(reason) = failure.connect_error() {
            *self.connections.failures.entry(reason).or_default() += 1;
        }
        if failure.is_mismatch() {
            self.mismatches += 1;
            self.error_texts.add(failure);
        }
    }

    /// Counts a connection that failed, and does not work since then. It is an outage if it is
    /// to be opened again, and otherwise an error.
    pub(crate) fn add_lost(
        &mut self,
        sequence: &mut Sequence,
        failure: Failure,
        since: Instant,
        reopens: bool,
    ) {
        match &mut sequence.outage {
            None if !reopens => return self.add_failure(&failure, sequence.sent() == 0),
            None => sequence.outage = Some(Box::new(Outage::new(since, failure))),
            Some(outage) => outage.go_on(failure),
        }
        if let Some(outage) = &sequence.outage {
            self.add_loss(outage.last_failure());
        }
    }

    /// Counts the outage of a sequence that is over, if it has one. Unless a connection is open,
    /// it lasts until `now` and is an error.
    pub(crate) fn close_outage(&mut self, sequence: &mut Sequence, now: Instant) {
        if let Some(outage) = sequence.outage.take() {
            self.outages.add(&outage, outage.opened.unwrap_or(now));
            match outage.opened {
                Some(_) => self.outages.reconnects += 1,
                None => self.add_error(outage.last_failure()),
            }
        }
    }

    /// Counts the end of an outage: the first reply on a new connection arrived this long after
    /// its message was sent. The connection worked as soon as it was open, if it was slow to send.
    pub(crate) fn end_outage(&mut self, sequence: &mut Sequence, waited: Duration) {
        if let Some(outage) = &mut sequence.outage {
            outage.opened = outage.opened.map(|opened| opened + waited);
        }
        self.close_outage(sequence, Instant::now());
    }

    /// Counts an error, unless it is a mismatch and counted as such.
    fn add_error(&mut self, failure: &Failure) {
        if !failure.is_mismatch() {
            self.errors += 1;
            self.error_texts.add(failure);
        }
    }

    /// The results of both together.
    pub(crate) fn merge(mut self, other: Outcome) -> Outcome {
        self.messages += other.messages;
        self.errors += other.errors;
        self.mismatches += other.mismatches;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.unsent += other.unsent;
        self.unanswered += other.unanswered;
        self.outages.merge(other.outages);
        self.not_closed += other.not_closed;
        self.time = self.time.max(other.time);
        self.ended_early = self.ended_early.zip(other.ended_early).map(|(a, b)| a.max(b));
        self.ended = self.ended.max(other.ended);
        self.busy = self.busy.zip(other.busy).map(|(ours, theirs)| ours.max(theirs));
        self.connections = self.connections.merge(other.connections);
        self.latency += other.latency;
        if let (Some(raw), Some(other)) = (&mut self.raw, other.raw) {
            *raw += other;
        }
        self.error_texts.merge(other.error_texts);
        self.interrupted |= other.interrupted;
        self
    }
}

impl Connections {
    fn new(requested: u64) -> Connections {
        let (opened, failed, time, reopened, failures) = Default::default();
        let connect = histogram();
        Connections { requested, opened, failed, time, reopened, connect, failures }
    }

    /// Counts a connection of this sequence that has opened now, and took this long.
    pub(crate) fn add_opened(
        &mut self,
        took: Duration,
        sequence: &mut Sequence,
        now: Instant,
        began: Instant,
    ) {
        self.connect.saturating_record(took.as_nanos() as u64);
        if sequence.has_not_begun() {
            self.opened += 1;
            self.time = now - began;
        } else if let Some(outage) = &mut sequence.outage {
            outage.opened = Some(now);
        } else {
            self.reopened += 1;
        }
    }

    fn merge(mut self, other: Connections) -> Connections {
        for (reason, times) in other.failures {
            *self.failures.entry(reason).or_default() += times;
        }
        self.connect += other.connect;
        Connections {
            requested: self.requested + other.requested,
            opened: self.opened + other.opened,
            failed: self.failed + other.failed,
            time: self.time.max(other.time),
            reopened: self.reopened + other.reopened,
            connect: self.connect,
            failures: self.failures,
        }
    }
}

/// An empty histogram of latencies.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, SIGNIFICANT_DIGITS).expect("the bounds are in order")
}
