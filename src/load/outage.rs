//! The times in which sequences have no connection that works.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::load::error_texts::ErrorTexts;
use crate::load::failure::Failure;

/// The time in which one sequence has no connection that works.
///
/// A connection that opens does not end it, because a proxy may accept connections for a server
/// that is gone. A reply does.
#[derive(Debug)]
pub(crate) struct Outage {
    pub(crate) since: Instant,
    /// Why it began.
    reason: Failure,
    /// Why the last attempt to end it failed.
    last: Option<Failure>,
    /// When the connection was opened that may end it.
    pub(crate) opened: Option<Instant>,
}

impl Outage {
    pub(crate) fn new(since: Instant, reason: Failure) -> Outage {
        Outage { since, reason, last: None, opened: None }
    }

    /// Another connection has failed.
    pub(crate) fn go_on(&mut self, failure: Failure) {
        (self.last, self.opened) = (Some(failure), None);
    }

    /// Why there is no connection.
    pub(crate) fn last_failure(&self) -> &Failure {
        self.last.as_ref().unwrap_or(&self.reason)
    }
}

/// The outages of a load. Each is that of one connection.
#[derive(Debug, Clone)]
pub struct Outages {
    /// How many were over before the load was: a lost connection was opened again.
    pub reconnects: u64,
    /// Their lengths in nanoseconds.
    pub lengths: Histogram<u64>,
    /// The sum of their lengths.
    pub total: Duration,
    /// The longest.
    pub max: Duration,
    /// When the first began.
    pub began: Option<Instant>,
    /// When the last ended.
    pub ended: Option<Instant>,
    /// Why they began.
    pub reasons: ErrorTexts,
}

impl Outages {
    pub(crate) fn new(lengths: Histogram<u64>) -> Outages {
        let (reconnects, total, max, began, ended, reasons) = Default::default();
        Outages { reconnects, lengths, total, max, began, ended, reasons }
    }

    /// Adds an outage that lasted until `end`.
    pub(crate) fn add(&mut self, outage: &Outage, end: Instant) {
        let length = end.saturating_duration_since(outage.since);
        self.lengths.saturating_record(length.as_nanos() as u64);
        self.total += length;
        self.max = self.max.max(length);
        self.began = first(self.began, Some(outage.since));
        self.ended = self.ended.max(Some(end));
        self.reasons.add(&outage.reason);
    }

    pub(crate) fn merge(&mut self, other: Outages) {
        self.reconnects += other.reconnects;
        self.lengths += other.lengths;
        self.total += other.total;
        self.max = self.max.max(other.max);
        self.began = first(self.began, other.began);
        self.ended = self.ended.max(other.ended);
        self.reasons.merge(other.reasons);
    }
}

fn first(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    [one, other].into_iter().flatten().min()
}
