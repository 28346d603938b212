//! The throughput-latency curve of a server: its steps, and the limit found on it.

mod csv;
#[expect(clippy::module_inception, reason = "the folder is named for its main file")]
mod curve;
mod search;
mod step;
pub(crate) mod text;

pub(crate) use csv::csv;
pub(crate) use curve::{Curve, ends_with};
pub(crate) use search::{Next, next};
pub(crate) use step::RateStep;
