//! Faults of the handler, for the library: panics, delays, stuck workers.

use crate::row::Row;

pub const ROWS: &[Row] = &[];
