//! What came of a load.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

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
    /// From the first message to the last reply; or, if none came, to the last
    /// failure.
    pub time: Duration,
    /// What became of the connections.
    pub connections: Connections,
    /// From handing a message to the kernel to having its reply, in nanoseconds.
    pub latency: Histogram<u64>,
    /// What went wrong, in words, and how often.
    pub complaints: BTreeMap<String, u64>,
    /// Whether it was stopped before its time.
    pub interrupted: bool,
}

/// What became of the connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connections {
    /// How many were to be opened.
    pub requested: u64,
    /// How many were.
    pub opened: u64,
    /// How many could not be.
    pub failed: u64,
    /// From the first attempt until the last was opened.
    pub time: Duration,
}

/// The longest latency told apart from longer ones: an hour, in nanoseconds.
const LONGEST: u64 = 3_600_000_000_000;
/// So that a figure is off by a thousandth at most.
const SIGNIFICANT_DIGITS: u8 = 3;

/// How many different complaints are kept, so that a long run's memory is bounded.
const COMPLAINTS: usize = 32;

impl Outcome {
    pub(crate) fn new(connections: usize) -> Outcome {
        Outcome {
            messages: 0,
            errors: 0,
            mismatches: 0,
            bytes_sent: 0,
            bytes_received: 0,
            time: Duration::ZERO,
            connections: Connections { requested: connections as u64, ..Connections::default() },
            latency: Histogram::new_with_bounds(1, LONGEST, SIGNIFICANT_DIGITS)
                .expect("the bounds are in order"),
            complaints: BTreeMap::new(),
            interrupted: false,
        }
    }

    /// Replies a second.
    pub fn rate(&self) -> f64 {
        match self.time {
            Duration::ZERO => 0.0,
            time => self.messages as f64 / time.as_secs_f64(),
        }
    }

    /// Whether all that was asked for was done, and every byte was right.
    pub fn is_clean(&self) -> bool {
        self.errors == 0 && self.mismatches == 0
    }

    /// Something went wrong.
    pub(crate) fn complain(&mut self, complaint: String, times: u64) {
        if self.complaints.len() < COMPLAINTS || self.complaints.contains_key(&complaint) {
            *self.complaints.entry(complaint).or_default() += times;
        }
    }

    /// The outcome of both.
    pub(crate) fn merge(mut self, other: Outcome) -> Outcome {
        self.messages += other.messages;
        self.errors += other.errors;
        self.mismatches += other.mismatches;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.time = self.time.max(other.time);
        self.connections = self.connections.merge(other.connections);
        self.latency.add(&other.latency).expect("both have the same bounds");
        for (complaint, times) in other.complaints {
            self.complain(complaint, times);
        }
        self.interrupted |= other.interrupted;
        self
    }
}

impl Connections {
    fn merge(self, other: Connections) -> Connections {
        Connections {
            requested: self.requested + other.requested,
            opened: self.opened + other.opened,
            failed: self.failed + other.failed,
            time: self.time.max(other.time),
        }
    }
}
