//! Chooses which charts to draw of the measurements.

use std::error::Error;
use std::path::Path;

use crate::chart::{self, Line, Panel};
use crate::contender::is_ours;
use crate::measurement::Measurement;
use crate::series::Series;
use crate::shape::Shape;

/// What the charts are drawn from.
#[derive(Debug)]
pub(crate) struct Pictures<'a> {
    pub(crate) shapes: &'a [&'a Shape],
    pub(crate) servers: &'a [&'static str],
    pub(crate) all: &'a [Measurement],
}

type Figure<'a> = &'a dyn Fn(Series<'_>) -> Option<f64>;

impl Pictures<'_> {
    /// Draws the charts for which there are measurements, and returns their paths.
    pub(crate) fn draw(&self, folder: &Path) -> Result<Vec<String>, Box<dyn Error>> {
        let rate = |series: Series<'_>| Some(series.median(|it| it.rate)? / 1000.0);
        let cpu = |series: Series<'_>| series.least(|it| it.cpu);
        let title = "Thousands of echoes per second (median)";
        let drawings = [
            ("compare-rate.svg", title, self.panels(1, &rate)),
            (
                "compare-cpu.svg",
                "Server CPU per echo, microseconds (minimum)",
                self.panels(2, &cpu),
            ),
            ("compare-memory.svg", "Bytes of server memory per connection", self.memory()),
        ];
        let mut drawn = Vec::new();
        for (name, title, panels) in drawings {
            if !panels.is_empty() {
                chart::panels(&folder.join(name), title, &panels)?;
                drawn.push(folder.join(name).display().to_string());
            }
        }
        let lines = self.lines(&rate);
        if !lines.is_empty() {
            let path = folder.join("compare-threads.svg");
            let title = "30 connections on all CPUs, over server threads (median)";
            chart::lines(&path, title, "thousands of echoes per second", &lines)?;
            drawn.push(path.display().to_string());
        }
        Ok(drawn)
    }

    fn of_group(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<&Shape> {
        self.shapes.iter().copied().filter(|shape| is_wanted(shape.group)).collect()
    }

    /// A panel for each shape that has this figure.
    fn panels(&self, digits: usize, figure: Figure<'_>) -> Vec<Panel> {
        let shapes = self.of_group(|group| !["threads", "memory", "hop"].contains(&group));
        // With other numbers of threads few servers are measured: see the lines.
        let shapes =
            shapes.into_iter().filter(|it| it.group != "seed" || [2, 32].contains(&it.threads));
        let panels = shapes.map(|shape| {
            self.panel(&shape.name, format!("{}: {}", shape.name, shape.title), digits, figure)
        });
        panels.filter(|panel| !panel.bars.is_empty()).collect()
    }

    fn panel(&self, shape: &str, title: String, digits: usize, figure: Figure<'_>) -> Panel {
        let bar = |&server: &&'static str| {
            let value = figure(Series::new(self.all, shape, server))?;
            Some((server.to_owned(), value, is_ours(server)))
        };
        Panel { title, bars: self.servers.iter().filter_map(bar).collect(), digits }
    }

    fn memory(&self) -> Vec<Panel> {
        let idle = |series: Series<'_>| series.median(|it| it.idle);
        let used = |series: Series<'_>| series.median(|it| it.used);
        let titles = ["idle", "after each has echoed 64 KiB"].map(str::to_owned);
        let figures: [Figure<'_>; 2] = [&idle, &used];
        let panels = titles.into_iter().zip(figures);
        panels
            .map(|(title, figure)| self.panel("memory", title, 0, figure))
            .filter(|panel| !panel.bars.is_empty())
            .collect()
    }

    fn lines(&self, figure: Figure<'_>) -> Vec<Line> {
        let shapes = self.of_group(|group| group == "threads");
        let line = |&server: &&'static str| {
            let point = |shape: &&Shape| {
                Some((shape.threads, figure(Series::new(self.all, &shape.name, server))?))
            };
            Line { name: server.to_owned(), points: shapes.iter().filter_map(point).collect() }
        };
        self.servers.iter().map(line).filter(|line| !line.points.is_empty()).collect()
    }
}
