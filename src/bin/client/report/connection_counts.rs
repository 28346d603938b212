//! Counts of connections, as the results have them.

use std::collections::BTreeMap;

use reactor_server::load;
use serde::{Deserialize, Serialize};

/// Counts of connections.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ConnectionCounts {
    pub(crate) requested: u64,
    pub(crate) opened: u64,
    pub(crate) failed: u64,
    /// The time until the last was open.
    pub(crate) seconds: f64,
    /// Opened to replace another, as planned.
    pub(crate) reopened: u64,
    /// Reasons for which connections could not be opened, and how often each occurred.
    pub(crate) failures: BTreeMap<String, u64>,
}

impl ConnectionCounts {
    pub(super) fn of(connections: &load::Connections) -> ConnectionCounts {
        ConnectionCounts {
            requested: connections.requested,
            opened: connections.opened,
            failed: connections.failed,
            seconds: connections.time.as_secs_f64(),
            reopened: connections.reopened,
            failures: connections.failures.clone(),
        }
    }

    pub(super) fn add(&mut self, other: ConnectionCounts) {
        self.requested += other.requested;
        self.opened += other.opened;
        self.failed += other.failed;
        self.seconds = self.seconds.max(other.seconds);
        self.reopened += other.reopened;
        add(&mut self.failures, other.failures);
    }
}

/// Adds how often each text occurred elsewhere.
pub(super) fn add(sums: &mut BTreeMap<String, u64>, more: BTreeMap<String, u64>) {
    for (key, count) in more {
        *sums.entry(key).or_default() += count;
    }
}
