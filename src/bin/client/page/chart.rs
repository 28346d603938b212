//! Charts as SVG.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::prelude::*;

use super::axis::{self, Axis};
use crate::report::Distribution;

/// The size in the SVG's own units: the page scales it. The narrower it is, the larger is its
/// text on a telephone.
const SIZE: (u32, u32) = (640, 300);
/// The space for labels: left of the chart, and below it with a title.
const MARGINS: (u32, u32) = (70, 58);
/// The space for the half of the last label that lies beyond the end of its axis.
const RIGHT_MARGIN: u32 = 26;
/// The points of a line of latencies: more could not be distinguished.
const POINTS: usize = 300;

// The style sheet of the page replaces these colours, by others on a light and a dark screen.
const LINES: [RGBColor; 6] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x56, 0xB4, 0xE9),
];
const SHADE: RGBColor = RGBColor(0xEE, 0xEE, 0xEE);
const GRID: RGBColor = RGBColor(0xDD, 0xDD, 0xDD);
const FRAME: RGBColor = RGBColor(0x88, 0x88, 0x88);

/// The points of a line. It is interrupted where a height is NaN.
pub(crate) type Points = Vec<(f64, f64)>;
type Drawn<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type DrawResult<'a> =
    Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// Latency by percentile, a line for each distribution.
pub(crate) fn latency(distributions: &[&Distribution]) -> String {
    let messages = distributions.iter().map(|it| it.len()).max().unwrap_or(0);
    let least = distributions.iter().map(|it| it.percentile(0.0)).fold(f64::INFINITY, f64::min);
    let most = distributions.iter().map(|it| it.max()).fold(0.0, f64::max);
    let lines: Vec<Points> = distributions.iter().map(|it| latency_line(it)).collect();
    Chart::new(Axis::percentiles(messages), Axis::latency(least, most), lines).svg()
}

/// Latency by percentile up to the slowest message, in the coordinates of the axes.
fn latency_line(distribution: &Distribution) -> Points {
    let end = axis::position(distribution.len()).max(1.0);
    let height = |latency: f64| latency.max(axis::LEAST).log10();
    let point = |index: usize| {
        let position = end * index as f64 / POINTS as f64;
        (position, height(distribution.percentile(axis::percentile(position))))
    };
    (0..=POINTS).map(point).chain([(end, height(distribution.max()))]).collect()
}

/// A chart.
#[derive(Debug)]
pub(super) struct Chart {
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// How far it is shaded, from its left edge on.
    pub(super) shaded: f64,
    /// Cells of a map.
    pub(super) cells: Vec<Cell>,
    /// Lines, in the order of their colours.
    pub(super) lines: Vec<Points>,
    /// Circles, in the colours of the first lines.
    pub(super) circles: Vec<Points>,
}

/// A cell of a map: its corners, and how dark it is, up to 1.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) from: (f64, f64),
    pub(super) to: (f64, f64),
    pub(super) darkness: f64,
}

/// The points of a throughput-latency curve, in messages per second and microseconds.
#[derive(Debug, Clone)]
pub(crate) struct CurvePoints {
    /// Those that a line joins, in this order.
    pub(crate) line: Points,
    /// Those that are drawn as circles.
    pub(crate) circles: Points,
}

/// Latency over throughput. The limit is a latency, if there is one.
pub(crate) fn curve(curves: &[CurvePoints; 2], limit: Option<f64>) -> String {
    let circles = || curves.iter().flat_map(|curve| &curve.circles);
    let fastest = circles().map(|point| point.0).fold(0.0, f64::max);
    let latencies = || circles().map(|point| point.1).chain(limit);
    let least = latencies().reduce(f64::min).unwrap_or(0.0);
    let x = Axis { title: "messages answered per second".to_owned(), ..Axis::count(fastest) };
    let y = Axis::latency(least, latencies().fold(least, f64::max));
    let on_axes = |points: &Points| {
        points.iter().map(|point| (point.0, point.1.max(axis::LEAST).log10())).collect()
    };
    let limit = limit.map(|limit| on_axes(&vec![(0.0, limit), (x.range.end, limit)]));
    let lines: Vec<Points> = curves.iter().map(|curve| on_axes(&curve.line)).chain(limit).collect();
    let circles = curves.each_ref().map(|curve| on_axes(&curve.circles));
    Chart { circles: circles.into(), ..Chart::new(x, y, lines) }.svg()
}

impl Chart {
    pub(super) fn new(x: Axis, y: Axis, lines: Vec<Points>) -> Chart {
        Chart { x, y, shaded: 0.0, cells: Vec::new(), lines, circles: Vec::new() }
    }

    pub(super) fn svg(self) -> String {
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        self.draw(&area).expect("drawing into a string cannot fail");
        drop(area);
        svg
    }

    fn draw<'a>(self, area: &Drawn<'a>) -> DrawResult<'a> {
        let (title, height) = (self.x.title.clone(), self.y.range.clone());
        let mut chart = ChartBuilder::on(area)
            .margin_top(10)
            .margin_right(RIGHT_MARGIN)
            .y_label_area_size(MARGINS.0)
            .x_label_area_size(MARGINS.1)
            .build_cartesian_2d(self.x, self.y)?;
        if self.shaded > 0.0 {
            let corners = [(0.0, height.start), (self.shaded, height.end)];
            chart.draw_series([Rectangle::new(corners, SHADE.filled())])?;
        }
        chart.configure_mesh().bold_line_style(GRID).axis_style(FRAME).x_desc(title).draw()?;
        let cell = |it: &Cell| Rectangle::new([it.from, it.to], LINES[0].mix(it.darkness).filled());
        chart.draw_series(self.cells.iter().map(cell))?;
        for (line, colour) in self.lines.iter().zip(LINES) {
            for part in line.split(|point| point.1.is_nan()).filter(|part| !part.is_empty()) {
                chart.draw_series(LineSeries::new(part.iter().copied(), colour.stroke_width(2)))?;
            }
        }
        for (points, colour) in self.circles.iter().zip(LINES) {
            let circle = |&point: &(f64, f64)| Circle::new(point, 3, colour.stroke_width(2));
            chart.draw_series(points.iter().map(circle))?;
        }
        area.present()
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, at: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (at - self.range.start) / (self.range.end - self.range.start);
        from + (share * f64::from(to - from)).round() as i32
    }

    /// A line of the grid is drawn only where there is a label.
    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match hint.weight().allow_light_points() {
            true => Vec::new(),
            false => self.labels.iter().map(|label| label.0).collect(),
        }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, at: &f64) -> String {
        let label = self.labels.iter().find(|label| label.0 == *at);
        label.map_or(String::new(), |label| label.1.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;

    fn of(latencies: &[u64]) -> Distribution {
        let mut histogram = Histogram::new(3).expect("a histogram");
        latencies.iter().for_each(|&it| histogram.record(it).expect("it fits"));
        Distribution(histogram)
    }

    /// The number of lines, which alone have this width.
    fn lines(svg: &str) -> usize {
        svg.lines().filter(|it| it.contains("stroke-width=\"2\"")).count()
    }

    #[test]
    fn any_latencies_can_be_drawn() {
        for latencies in [&[][..], &[0], &[5_000_000], &[70_000; 1000], &[1, 3_600_000_000_000]] {
            let (one, other) = (of(latencies), of(latencies));
            assert_eq!(lines(&latency(&[&one, &other])), 2, "{latencies:?}");
        }
    }

    #[test]
    fn any_curve_can_be_drawn_and_each_of_its_points_is_seen() {
        let endless = vec![(1e300, 1e300), (0.0, 0.0)];
        for line in [vec![], vec![(0.0, 0.0)], vec![(5e4, 80.0), (1e5, 1e6)], endless] {
            for limit in [None, Some(0.0), Some(1000.0)] {
                let points = CurvePoints { line: line.clone(), circles: line.clone() };
                let svg = curve(&[points.clone(), points], limit);
                assert_eq!(svg.matches("<circle").count(), 2 * line.len(), "{line:?}");
                let limits = svg.matches("stroke=\"#009E73\" stroke-width=\"2\"").count();
                assert_eq!(limits, usize::from(limit.is_some()), "{line:?} {limit:?}");
            }
        }
    }

    #[test]
    fn the_style_sheet_replaces_every_colour() {
        let style = include_str!("page.css");
        let (one, other) = (of(&[1]), of(&[2]));
        let line = vec![(1.0, 1.0), (2.0, 2.0)];
        let points = CurvePoints { line: line.clone(), circles: line };
        let all = [[&one, &other]; LINES.len() / 2].concat();
        let charts = latency(&all);
        assert_eq!(lines(&charts), LINES.len());
        let charts = charts + &curve(&[points.clone(), points], Some(3.0));
        for colour in charts.split("stroke=\"").skip(1).filter_map(|it| it.split('"').next()) {
            assert!(style.contains(&format!("[stroke=\"{colour}\"]")), "{colour}");
        }
    }
}
