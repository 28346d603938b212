//! Faults of the stream: half-closes, splits, slow readers, odd bytes.

use crate::row::Row;

pub const ROWS: &[Row] = &[];
