//! Faults of the network in between: loss, and peers that are gone.

use crate::row::Row;

pub const ROWS: &[Row] = &[];
