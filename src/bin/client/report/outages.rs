//! The outages of connections that were lost and opened again.

use std::collections::BTreeMap;
use std::time::Instant;

use reactor_server::load;
use serde::{Deserialize, Serialize};

use super::connection_counts::add;
use super::distribution::Distribution;

/// The outages of connections that were lost and opened again. Each is that of one connection.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Outages {
    pub(crate) count: u64,
    /// How many were over before the run was.
    pub(crate) reconnects: u64,
    /// The sum of their lengths.
    pub(crate) total_seconds: f64,
    /// The length of the longest.
    pub(crate) max_seconds: f64,
    /// When the first began: seconds since 1970.
    pub(crate) began: Option<f64>,
    /// When the last ended: seconds since 1970.
    pub(crate) ended: Option<f64>,
    /// Why they began, and how often each reason occurred.
    pub(crate) reasons: BTreeMap<String, u64>,
    /// Their lengths.
    pub(crate) histogram: Distribution,
}

impl Outages {
    /// `since_1970` returns when an instant was.
    pub(crate) fn new(outages: &load::Outages, since_1970: impl Fn(Instant) -> f64) -> Outages {
        Outages {
            count: outages.lengths.len(),
            reconnects: outages.reconnects,
            total_seconds: outages.total.as_secs_f64(),
            max_seconds: outages.max.as_secs_f64(),
            began: outages.began.map(&since_1970),
            ended: outages.ended.map(&since_1970),
            reasons: outages.reasons.clone().into_counts(),
            histogram: Distribution(outages.lengths.clone()),
        }
    }

    /// The length of the longest of the shorter half, if there are any.
    pub(crate) fn p50_seconds(&self) -> Option<f64> {
        (self.count > 0).then(|| self.histogram.percentile(50.0) / 1e6)
    }

    pub(crate) fn add(&mut self, other: Outages) {
        self.count += other.count;
        self.reconnects += other.reconnects;
        self.total_seconds += other.total_seconds;
        self.max_seconds = self.max_seconds.max(other.max_seconds);
        self.began = [self.began, other.began].into_iter().flatten().reduce(f64::min);
        self.ended = [self.ended, other.ended].into_iter().flatten().reduce(f64::max);
        add(&mut self.reasons, other.reasons);
        self.histogram += &other.histogram;
    }

    /// Whether its figures do not contradict each other.
    pub(crate) fn is_sound(&self) -> bool {
        self.histogram.len() == self.count && self.reconnects <= self.count
    }
}
