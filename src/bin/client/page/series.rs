//! A figure over time, as a chart and as a table.

use super::html::{details, figure, table};
use crate::report::Step;

/// A figure over time.
#[derive(Debug)]
pub(crate) struct Series {
    name: &'static str,
    /// The head of its table: time, figure, and the extremes of the steps in a row.
    head: [&'static str; 4],
    /// The figure of a step, or of several joined steps.
    figure: fn(&Step) -> f64,
}

/// The most rows of a table.
const ROWS: usize = 60;

impl Series {
    pub(crate) fn rate() -> Series {
        Series {
            name: "Messages per second",
            head: ["seconds", "messages per second", "slowest step", "fastest step"],
            figure: Step::rate,
        }
    }

    pub(crate) fn connections() -> Series {
        Series {
            name: "Open connections",
            head: ["seconds", "open at the end", "fewest", "most"],
            figure: |step| step.open as f64,
        }
    }

    /// Chart and table as HTML. Every step but the first and the last has the length
    /// `step_seconds`.
    pub(crate) fn render(&self, chart: &str, steps: &[Step], step_seconds: f64) -> String {
        let (together, summary) = rows_of(steps, step_seconds);
        let table = self.table(steps, together);
        figure(chart, &self.describe(steps)) + &details(&summary, &table)
    }

    fn describe(&self, steps: &[Step]) -> String {
        let (least, most) = self.extremes(steps);
        let seconds = steps.last().map_or(0.0, |last| last.to);
        format!("{} over {seconds:.3} s: between {least:.0} and {most:.0}", self.name)
    }

    fn table(&self, steps: &[Step], together: usize) -> String {
        // A single step has no extremes.
        let columns = if together > 1 { 4 } else { 2 };
        let row = |steps: &[Step]| {
            let cells = self.row(steps)?;
            Some(cells[..columns].to_vec())
        };
        let rows: Vec<_> = steps.chunks(together).filter_map(row).collect();
        table(&self.head[..columns], &rows)
    }

    /// One row for several steps: their total and their extremes.
    fn row(&self, steps: &[Step]) -> Option<[String; 4]> {
        let whole = Step::joined(steps)?;
        let (least, most) = self.extremes(steps);
        let when = time_of(&whole);
        let [all, least, most] =
            [(self.figure)(&whole), least, most].map(|figure| format!("{figure:.0}"));
        Some([when, all, least, most])
    }

    fn extremes(&self, steps: &[Step]) -> (f64, f64) {
        let figures = || steps.iter().map(self.figure);
        (figures().reduce(f64::min).unwrap_or(0.0), figures().reduce(f64::max).unwrap_or(0.0))
    }
}

/// A table of the figures of each step, or of several steps in a row; folded.
pub(crate) fn folded_table<const N: usize>(
    steps: &[Step],
    step_seconds: f64,
    head: &[&str],
    cells: impl Fn(&Step) -> [String; N],
) -> String {
    let (together, summary) = rows_of(steps, step_seconds);
    let row = |step: Step| [time_of(&step)].into_iter().chain(cells(&step)).collect();
    let rows: Vec<_> = steps.chunks(together).filter_map(Step::joined).map(row).collect();
    details(&summary, &table(head, &rows))
}

/// How many steps are in a row of a table, and what its summary says of that.
fn rows_of(steps: &[Step], step_seconds: f64) -> (usize, String) {
    match steps.len().div_ceil(ROWS).max(1) {
        1 => (1, format!("Table, in steps of {step_seconds} s")),
        together => (together, format!("Table, {together} steps of {step_seconds} s in a row")),
    }
}

fn time_of(step: &Step) -> String {
    format!("{:.3} to {:.3}", step.from, step.to)
}
