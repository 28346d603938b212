//! A step of time, as it is drawn.

use super::latencies::Latencies;

/// A step of time, in seconds since the first one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Step {
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// Replies received in it.
    pub(crate) messages: u64,
    /// Open connections at its end.
    pub(crate) open: u64,
    /// Connections that failed, or received wrong bytes.
    pub(crate) errors: u64,
    /// Connections opened to replace another.
    pub(crate) reconnects: u64,
    pub(crate) latency: Latencies,
}

/// The shortest time that a rate is taken over, so that it is never infinite.
const MIN_SECONDS: f64 = 1e-9;

impl Step {
    /// Joins this step and the next.
    pub(crate) fn join(mut self, next: &Step) -> Step {
        self.latency.add(&next.latency);
        Step {
            from: self.from,
            to: next.to,
            messages: self.messages + next.messages,
            open: next.open,
            errors: self.errors + next.errors,
            reconnects: self.reconnects + next.reconnects,
            latency: self.latency,
        }
    }

    /// The same step, with times since an earlier moment.
    pub(crate) fn later(self, seconds: f64) -> Step {
        Step { from: self.from + seconds, to: self.to + seconds, ..self }
    }

    /// Joins several steps in a row.
    pub(crate) fn joined(steps: &[Step]) -> Option<Step> {
        let (first, rest) = steps.split_first()?;
        Some(rest.iter().fold(first.clone(), Step::join))
    }

    /// Replies per second.
    pub(crate) fn rate(&self) -> f64 {
        per_second(self.messages, self.to - self.from)
    }
}

/// A count per second, or 0 if no time has passed.
pub(crate) fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds.max(MIN_SECONDS) } else { 0.0 }
}
