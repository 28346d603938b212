//! Charts over time.

use super::axis::{self, Axis};
use super::chart::{Chart, Points};
use crate::report::{Latencies, Step};

/// The charts of a run, since messages began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeCharts<'a> {
    pub(crate) steps: &'a [Step],
    /// The length of every step but the first and the last.
    pub(crate) step_seconds: f64,
    /// How long messages did not count.
    pub(crate) warmup: f64,
}

impl TimeCharts<'_> {
    /// Messages per second. A rate holds for a whole step. The second line is the rate that an
    /// open loop has planned.
    pub(crate) fn rate(&self, planned: Option<f64>) -> String {
        let mut lines = vec![held(self.steps, Step::rate)];
        lines.extend(planned.map(|rate| vec![(0.0, rate), (self.seconds(), rate)]));
        self.counts(lines)
    }

    /// Errors and reconnects in each step.
    pub(crate) fn events(&self) -> String {
        let of = |count: fn(&Step) -> u64| held(self.steps, |step| count(step) as f64);
        self.counts(vec![of(|step| step.errors), of(|step| step.reconnects)])
    }

    /// The median, the 99th percentile and the maximum of the latencies in each step.
    pub(crate) fn latency(&self) -> String {
        let line = |figure: &dyn Fn(&Latencies) -> Option<f64>| {
            let height = |latency: f64| latency.max(axis::LEAST).log10();
            held(self.steps, |step| figure(&step.latency).map_or(f64::NAN, height))
        };
        let median = |it: &Latencies| it.percentile(50.0);
        let least = self.steps.iter().filter_map(|step| median(&step.latency));
        let lines = vec![
            line(&median),
            line(&|latencies| latencies.percentile(99.0)),
            line(&Latencies::max),
        ];
        let y = Axis::latency(least.fold(self.slowest(), f64::min), self.slowest());
        self.chart(y, lines).svg()
    }

    /// A chart of this height. Its time is that of all others.
    pub(super) fn chart(&self, y: Axis, lines: Vec<Points>) -> Chart {
        let seconds = self.seconds();
        let shaded = self.warmup.min(seconds);
        Chart { shaded, ..Chart::new(Axis::time(seconds, "messages began"), y, lines) }
    }

    /// The latency of the slowest reply in microseconds, or 0.
    pub(super) fn slowest(&self) -> f64 {
        self.steps.iter().filter_map(|step| step.latency.max()).fold(0.0, f64::max)
    }

    fn counts(&self, lines: Vec<Points>) -> String {
        self.chart(Axis::count(highest(&lines)), lines).svg()
    }

    fn seconds(&self) -> f64 {
        self.steps.last().map_or(0.0, |last| last.to)
    }
}

/// Open connections. They are known at the end of each step; before the first there are none.
pub(crate) fn connections(steps: &[Step]) -> String {
    let known = steps.iter().map(|it| (it.to, it.open as f64));
    let line: Points = [(0.0, 0.0)].into_iter().chain(known).collect();
    let x = Axis::time(line.last().map_or(0.0, |point| point.0), "the first connect");
    let lines = vec![line];
    Chart::new(x, Axis::count(highest(&lines)), lines).svg()
}

/// A line of a figure that holds for a whole step.
fn held(steps: &[Step], figure: impl Fn(&Step) -> f64) -> Points {
    let points = |step: &Step| {
        let height = figure(step);
        [(step.from, height), (step.to, height)]
    };
    steps.iter().flat_map(points).collect()
}

fn highest(lines: &[Points]) -> f64 {
    lines.iter().flatten().map(|point| point.1).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_steps_can_be_drawn() {
        let step = |from, to, messages, open| Step { from, to, messages, open, ..Step::default() };
        let endless = step(0.0, f64::MAX, u64::MAX, u64::MAX);
        for steps in [vec![], vec![step(0.0, 0.1, 1, 0)], vec![step(0.0, 0.0, 0, 0)], vec![endless]]
        {
            let charts = TimeCharts { steps: &steps, step_seconds: 0.1, warmup: 1.0 };
            let (rate, latency) = (charts.rate(Some(1e9)), charts.latency());
            for chart in [rate, latency, charts.events(), charts.heatmap(), connections(&steps)] {
                assert!(chart.ends_with("</svg>\n") && !chart.contains("NaN"), "{steps:?}");
            }
        }
    }

    #[test]
    fn the_style_sheet_replaces_every_colour() {
        let style = include_str!("page.css");
        let steps = crate::report::sample::steps();
        let charts = TimeCharts { steps: &steps, step_seconds: 0.1, warmup: 0.1 };
        let all = charts.rate(Some(1.0)) + &charts.latency() + &charts.heatmap();
        for kind in ["stroke", "fill"] {
            let attribute = format!(" {kind}=\"");
            let colours = all.split(&attribute).skip(1);
            let colours = colours.filter_map(|it| it.split('"').next());
            for colour in colours.filter(|&it| it != "none" && it != "#000000") {
                assert!(style.contains(&format!("[{kind}=\"{colour}\"]")), "{kind} {colour}");
            }
        }
    }
}
