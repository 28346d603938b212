//! The results: what they are, and how they are printed, compared and merged.

mod condition;
mod connection_counts;
mod cost;
pub(crate) mod csv;
mod difference;
mod distribution;
mod environment;
pub(crate) mod hgrm;
mod latencies;
mod notes;
mod outages;
#[expect(clippy::module_inception, reason = "the folder is named for its main file")]
mod report;
#[cfg(test)]
pub(crate) mod sample;
mod step;
mod summary;
pub(crate) mod text;
mod timeline;

pub(crate) use condition::Condition;
pub(crate) use cost::{BytesPerConnection, Cpu, ServerCost};
pub(crate) use distribution::Distribution;
pub(crate) use environment::Environment;
pub(crate) use latencies::Latencies;
pub(crate) use outages::Outages;
pub(crate) use report::{Report, RunRecord};
pub(crate) use step::Step;
pub(crate) use timeline::Timeline;
