//! A number that one thread counts and any thread reads.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that one thread counts and any thread may read.
///
/// It is an atomic because the reader wants figures while the writer is busy. It has one
/// writer, so counting needs no locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to the number. Only the thread that owns the counter may call it.
    pub(crate) fn add(&self, count: u64) {
        self.0.store(self.get().wrapping_add(count), Relaxed);
    }

    /// The number as it stands.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }
}
