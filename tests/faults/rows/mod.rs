//! The rows, by family.

mod accept;
mod bytes;
mod churn;
mod descriptors;
mod drain;
mod errnos;
mod fairness;
mod hostile;
mod logs;
mod memory;
mod network;
mod probes;
mod process;
mod signals;
mod soak;
mod splits;
mod threads;
mod urgent;

use crate::harness::row::Row;

/// The rows of each file.
pub(crate) const FAMILIES: &[&[Row]] = &[
    accept::ROWS,
    errnos::ROWS,
    hostile::ROWS,
    fairness::ROWS,
    memory::ROWS,
    bytes::ROWS,
    splits::ROWS,
    urgent::ROWS,
    process::ROWS,
    threads::ROWS,
    signals::ROWS,
    logs::ROWS,
    descriptors::ROWS,
    network::ROWS,
    churn::ROWS,
    probes::ROWS,
    drain::ROWS,
];
