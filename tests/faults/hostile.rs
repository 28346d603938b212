//! Faults of peers who mean harm: greedy, slow, lying, resetting.

use crate::row::Row;

pub const ROWS: &[Row] = &[];
