//! The results of a load.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::load::failure::Failure;
use crate::load::lane::Verified;
use crate::load::plan::Plan;

/// The results of a load, or of one thread of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Replies that passed verification.
    pub messages: u64,
    /// Connections that failed, while opening or later.
    pub errors: u64,
    /// Connections that received wrong bytes.
    pub mismatches: u64,
    /// Bytes sent, including framing.
    pub bytes_sent: u64,
    /// Bytes received, including framing.
    pub bytes_received: u64,
    /// Messages that were due, but not sent before time was up (open loop).
    pub unsent: u64,
    /// Connections that the server did not close within a second of the client's FIN, after
    /// their last reply.
    pub not_closed: u64,
    /// From the first message to the last reply, or to the last failure if there is no
    /// reply. It includes neither warm-up nor hold. In an open loop it lasts at least until the
    /// message after the last one would be due, but not beyond the duration.
    pub time: Duration,
    /// When that time ended.
    pub ended: Option<Instant>,
    /// Counts of connections.
    pub connections: Connections,
    /// Nanoseconds until the reply was received: in a closed loop since the message was
    /// handed to the kernel, in an open loop since it was due. While a thread runs, its own has
    /// only those of the current step.
    pub latency: Histogram<u64>,
    /// In an open loop: nanoseconds since the message was handed to the kernel.
    pub raw: Option<Histogram<u64>>,
    /// Texts of errors and mismatches, and how often each occurred.
    pub error_texts: BTreeMap<String, u64>,
    /// Whether the load was stopped before its end.
    pub interrupted: bool,
}

/// Counts of connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
    /// Reasons for which connections could not be opened, and how often each occurred.
    pub failures: BTreeMap<String, u64>,
}

/// The longest latency that is recorded exactly: an hour, in nanoseconds.
const LONGEST: u64 = 3_600_000_000_000;
/// They limit the error of a latency to a thousandth.
const SIGNIFICANT_DIGITS: u8 = 3;

/// How many different texts are kept, to bound the memory of a long run.
const MAX_TEXTS: usize = 32;
/// Stands for all other texts.
const OTHERS: &str = "others, of too many kinds to list";

impl Outcome {
    pub(crate) fn new(plan: &Plan) -> Outcome {
        Outcome {
            messages: 0,
            errors: 0,
            mismatches: 0,
            bytes_sent: 0,
            bytes_received: 0,
            unsent: 0,
            not_closed: 0,
            time: Duration::ZERO,
            ended: None,
            connections: Connections {
                requested: plan.connections as u64,
                ..Connections::default()
            },
            latency: histogram(),
            raw: plan.rate.map(|_| histogram()),
            error_texts: BTreeMap::new(),
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
        match failure {
            Failure::Mismatch(_) => self.mismatches += 1,
            _ => self.errors += 1,
        }
        if let Some(reason) = failure.connect_error() {
            *self.connections.failures.entry(reason).or_default() += 1;
            self.connections.failed += u64::from(is_first);
        }
        self.add_error_text(failure.to_string(), 1);
    }

    /// The results of both together.
    pub(crate) fn merge(mut self, other: Outcome) -> Outcome {
        self.messages += other.messages;
        self.errors += other.errors;
        self.mismatches += other.mismatches;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.unsent += other.unsent;
        self.not_closed += other.not_closed;
        self.time = self.time.max(other.time);
        self.ended = self.ended.max(other.ended);
        self.connections = self.connections.merge(other.connections);
        self.latency += other.latency;
        if let (Some(raw), Some(other)) = (&mut self.raw, other.raw) {
            *raw += other;
        }
        for (text, times) in other.error_texts {
            self.add_error_text(text, times);
        }
        self.interrupted |= other.interrupted;
        self
    }

    fn add_error_text(&mut self, text: String, times: u64) {
        let is_kept = self.error_texts.len() < MAX_TEXTS || self.error_texts.contains_key(&text);
        let text = if is_kept { text } else { OTHERS.to_owned() };
        *self.error_texts.entry(text).or_default() += times;
    }
}

impl Connections {
    fn merge(mut self, other: Connections) -> Connections {
        for (reason, times) in other.failures {
            *self.failures.entry(reason).or_default() += times;
        }
        Connections {
            requested: self.requested + other.requested,
            opened: self.opened + other.opened,
            failed: self.failed + other.failed,
            time: self.time.max(other.time),
            reopened: self.reopened + other.reopened,
            failures: self.failures,
        }
    }
}

/// An empty histogram of latencies.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, SIGNIFICANT_DIGITS).expect("the bounds are in order")
}
