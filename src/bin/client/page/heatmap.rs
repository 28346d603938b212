//! A map of how many replies had which latency when.

use std::collections::BTreeMap;

use super::axis::{self, Axis};
use super::chart::{Cell, Chart};
use super::time_chart::TimeCharts;
use crate::report::Step;

/// The most columns: steps in a row share one. More would make a large page.
pub(crate) const COLUMNS: usize = 100;
/// The rows, each of which is a range of latencies.
const ROWS: usize = 36;
/// The darkness of a cell with few replies, which must be seen.
const PALEST: f64 = 0.12;

impl TimeCharts<'_> {
    /// Columns of time, rows of latency. The larger the share of a column's replies is that had
    /// this latency, the darker is the cell.
    pub(crate) fn heatmap(&self) -> String {
        let least = self.steps.iter().filter_map(|step| step.latency.percentile(0.0));
        let y = Axis::latency(least.fold(self.slowest(), f64::min), self.slowest());
        let (bottom, row) = (y.range.start, (y.range.end - y.range.start) / ROWS as f64);
        let together = self.steps.len().div_ceil(COLUMNS).max(1);
        let columns = self.steps.chunks(together).filter_map(Step::joined);
        let cells = columns.flat_map(|step| column(&step, bottom, row)).collect();
        Chart { cells, ..self.chart(y, Vec::new()) }.svg()
    }
}

fn column(step: &Step, bottom: f64, row: f64) -> Vec<Cell> {
    let mut counts = BTreeMap::<usize, u64>::new();
    for (latency, count) in step.latency.counts() {
        let height = (latency.max(axis::LEAST).log10() - bottom) / row;
        *counts.entry((height as usize).min(ROWS - 1)).or_default() += count;
    }
    let most = counts.values().copied().max().unwrap_or(1) as f64;
    let cell = |(index, count): (usize, u64)| {
        let from = bottom + index as f64 * row;
        // The root makes small shares visible. Two digits of it suffice.
        let darkness = (count as f64 / most).sqrt().max(PALEST);
        Cell {
            from: (step.from, from),
            to: (step.to, from + row),
            darkness: (darkness * 100.0).round() / 100.0,
        }
    };
    counts.into_iter().map(cell).collect()
}
