//! A figure over time, as a chart and as a table.

use crate::chart;
use crate::html::{details, figure, table};
use crate::timeline::Step;

/// A figure over time.
#[derive(Debug)]
pub(crate) struct Series {
    name: &'static str,
    /// Of its table: when, the figure, and between what it was in the steps of a row.
    head: [&'static str; 4],
    /// Of a step, or of several as one.
    figure: fn(&Step) -> f64,
    chart: fn(&[Step]) -> String,
}

/// The most rows of a table: more of them nobody reads.
const ROWS: usize = 60;

impl Series {
    pub(crate) fn rate() -> Series {
        Series {
            name: "Messages a second",
            head: ["seconds", "messages a second", "slowest step", "fastest step"],
            figure: Step::rate,
            chart: chart::rate,
        }
    }

    pub(crate) fn connections() -> Series {
        Series {
            name: "Open connections",
            head: ["seconds", "open at the end", "fewest", "most"],
            figure: |step| step.open as f64,
            chart: chart::connections,
        }
    }

    /// As HTML. So long is a step that is not the last.
    pub(crate) fn render(&self, steps: &[Step], step_seconds: f64) -> String {
        let together = steps.len().div_ceil(ROWS).max(1);
        let summary = match together {
            1 => format!("Table, in steps of {step_seconds} s"),
            _ => format!("Table, {together} steps of {step_seconds} s in a row"),
        };
        let table = self.table(steps, together);
        figure(&(self.chart)(steps), &self.in_words(steps)) + &details(&summary, &table)
    }

    fn in_words(&self, steps: &[Step]) -> String {
        let (least, most) = self.extremes(steps);
        let seconds = steps.last().map_or(0.0, |last| last.to);
        format!("{} over {seconds:.3} s: between {least:.0} and {most:.0}", self.name)
    }

    fn table(&self, steps: &[Step], together: usize) -> String {
        // Of a single step there are no extremes.
        let columns = if together > 1 { 4 } else { 2 };
        let row = |steps: &[Step]| {
            let cells = self.row(steps)?;
            Some(cells[..columns].to_vec())
        };
        let rows: Vec<_> = steps.chunks(together).filter_map(row).collect();
        table(&self.head[..columns], &rows)
    }

    /// Steps as one row: nothing of them is left out, and their extremes are still seen.
    fn row(&self, steps: &[Step]) -> Option<[String; 4]> {
        let whole = steps.iter().copied().reduce(|whole, next| whole.and(&next))?;
        let (least, most) = self.extremes(steps);
        let when = format!("{:.3} to {:.3}", whole.from, whole.to);
        let [all, least, most] =
            [(self.figure)(&whole), least, most].map(|figure| format!("{figure:.0}"));
        Some([when, all, least, most])
    }

    fn extremes(&self, steps: &[Step]) -> (f64, f64) {
        let figures = || steps.iter().map(self.figure);
        (figures().reduce(f64::min).unwrap_or(0.0), figures().reduce(f64::max).unwrap_or(0.0))
    }
}
