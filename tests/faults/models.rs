//! Faults that only a model can put: every errno, every interleaving.

use crate::row::Row;

pub const ROWS: &[Row] = &[];
