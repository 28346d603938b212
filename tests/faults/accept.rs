//! Faults of accepting: no descriptors, failing calls, bursts.

use crate::row::Row;

pub const ROWS: &[Row] = &[];
