//! What came of a load.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::load::Plan;
use crate::load::lane::Answer;

/// What came of a load, or of one thread's share in it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Replies that came and were as they should be.
    pub messages: u64,
    /// Connections that failed, to open or later.
    pub errors: u64,
    /// Connections on which something came back that should not have.
    pub mismatches: u64,
    /// Bytes sent, framing included.
    pub bytes_sent: u64,
    /// Bytes received, framing included.
    pub bytes_received: u64,
    /// Messages that were due and could not be sent before time was up (open loop).
    pub unsent: u64,
    /// From the first message to the last reply; or, if none came, to the last
    /// failure. Neither warm-up nor holding is part of it.
    pub time: Duration,
    /// When the last reply came, or the last failure.
    pub ended: Option<Instant>,
    /// What became of the connections.
    pub connections: Connections,
    /// In nanoseconds, to having the reply: in a closed loop from handing the message
    /// to the kernel, in an open loop from when it was due.
    pub latency: Histogram<u64>,
    /// In an open loop: from handing the message to the kernel, too.
    pub raw: Option<Histogram<u64>>,
    /// What went wrong, in words, and how often.
    pub complaints: BTreeMap<String, u64>,
    /// Whether it was stopped before its time.
    pub interrupted: bool,
}

/// What became of the connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connections {
    /// How many were to be opened.
    pub requested: u64,
    /// How many were.
    pub opened: u64,
    /// How many could not be.
    pub failed: u64,
    /// From the first attempt until the last was opened.
    pub time: Duration,
    /// How many were opened in the place of one that was closed as planned.
    pub reopened: u64,
    /// Why connections could not be opened, and how often.
    pub failures: BTreeMap<String, u64>,
}

/// The longest latency told apart from longer ones: an hour, in nanoseconds.
const LONGEST: u64 = 3_600_000_000_000;
/// So that a figure is off by a thousandth at most.
const SIGNIFICANT_DIGITS: u8 = 3;

/// How many different complaints are kept, so that a long run's memory is bounded.
const COMPLAINTS: usize = 32;
/// What stands for all others.
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
            time: Duration::ZERO,
            ended: None,
            connections: Connections {
                requested: plan.connections as u64,
                ..Connections::default()
            },
            latency: histogram(),
            raw: plan.rate.map(|_| histogram()),
            complaints: BTreeMap::new(),
            interrupted: false,
        }
    }

    /// A reply came, for a message that was due then if it was due at all.
    pub(crate) fn answered(&mut self, answer: Answer, due: Option<Instant>, now: Instant) {
        if !answer.counts {
            return;
        }
        self.messages += 1;
        let since = |moment| now.saturating_duration_since(moment).as_nanos() as u64;
        self.latency.saturating_record(since(due.unwrap_or(answer.sent)));
        if let Some(raw) = &mut self.raw {
            raw.saturating_record(since(answer.sent));
        }
    }

    /// Something went wrong.
    pub(crate) fn complain(&mut self, complaint: String, times: u64) {
        let has_room = self.complaints.len() < COMPLAINTS;
        let is_kept = has_room || self.complaints.contains_key(&complaint);
        let complaint = if is_kept { complaint } else { OTHERS.to_owned() };
        *self.complaints.entry(complaint).or_default() += times;
    }

    /// The outcome of both.
    pub(crate) fn merge(mut self, other: Outcome) -> Outcome {
        self.messages += other.messages;
        self.errors += other.errors;
        self.mismatches += other.mismatches;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.unsent += other.unsent;
        self.time = self.time.max(other.time);
        self.ended = self.ended.max(other.ended);
        self.connections = self.connections.merge(other.connections);
        self.latency += other.latency;
        if let (Some(raw), Some(other)) = (&mut self.raw, other.raw) {
            *raw += other;
        }
        for (complaint, times) in other.complaints {
            self.complain(complaint, times);
        }
        self.interrupted |= other.interrupted;
        self
    }
}

impl Connections {
    fn merge(mut self, other: Connections) -> Connections {
        for (why, times) in other.failures {
            *self.failures.entry(why).or_default() += times;
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

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, SIGNIFICANT_DIGITS).expect("the bounds are in order")
}
