//! Comparing servers: the same load on each, and what the runs in pairs say.

mod comparison;
mod contest;
mod metric;
mod ratio;
mod sentence;
pub(crate) mod text;

pub(crate) use comparison::Comparison;
pub(crate) use contest::{Contender, Contest, Ending};
pub(crate) use metric::Metric;
pub(crate) use sentence::enumerated;
