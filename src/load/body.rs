//! What messages consist of.

use std::ops::RangeInclusive;
use std::sync::Arc;

/// The bytes of messages, without framing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Bytes that no other message has, at least one. Their number is drawn from this range, with
    /// a fixed seed.
    Drawn(RangeInclusive<usize>),
    /// The same bytes in every message, at least one. If a delimiter separates messages, they do
    /// not contain it.
    Given(Arc<[u8]>),
}

impl Body {
    /// How many bytes a message may have.
    pub fn sizes(&self) -> RangeInclusive<usize> {
        match self {
            Body::Drawn(sizes) => sizes.clone(),
            Body::Given(bytes) => bytes.len()..=bytes.len(),
        }
    }

    /// How many bytes the longest message may have.
    pub fn longest(&self) -> usize {
        *self.sizes().end()
    }
}
