//! Faults of the end: a drain under load.

use crate::row::Row;

pub const ROWS: &[Row] = &[];
