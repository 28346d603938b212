//! Charts as SVG.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::prelude::*;

use super::axis::{self, Axis};
use crate::report::{Distribution, Step};

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
const GRID: RGBColor = RGBColor(0xDD, 0xDD, 0xDD);
const FRAME: RGBColor = RGBColor(0x88, 0x88, 0x88);

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
    svg(Axis::percentiles(messages), Axis::latency(least, most), &lines, &[])
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

/// Messages per second over time. A rate holds for a whole step.
pub(crate) fn rate(steps: &[Step]) -> String {
    let line: Points =
        steps.iter().flat_map(|it| [(it.from, it.rate()), (it.to, it.rate())]).collect();
    over_time(line)
}

/// Open connections over time. They are known at the end of each step; before the first
/// there are none.
pub(crate) fn connections(steps: &[Step]) -> String {
    let known = steps.iter().map(|it| (it.to, it.open as f64));
    over_time([(0.0, 0.0)].into_iter().chain(known).collect())
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
    svg(x, y, &lines, &circles)
}

fn over_time(line: Points) -> String {
    let end = line.last().map_or(0.0, |point| point.0);
    let most = line.iter().map(|point| point.1).fold(0.0, f64::max);
    svg(Axis::time(end), Axis::count(most), &[line], &[])
}

/// Draws lines, and circles in the colours of the first lines.
fn svg(x: Axis, y: Axis, lines: &[Points], circles: &[Points]) -> String {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    draw(&area, x, y, lines, circles).expect("drawing into a string cannot fail");
    drop(area);
    svg
}

fn draw<'a>(
    area: &Drawn<'a>,
    x: Axis,
    y: Axis,
    lines: &[Points],
    circles: &[Points],
) -> DrawResult<'a> {
    let title = x.title.clone();
    let mut chart = ChartBuilder::on(area)
        .margin_top(10)
        .margin_right(RIGHT_MARGIN)
        .y_label_area_size(MARGINS.0)
        .x_label_area_size(MARGINS.1)
        .build_cartesian_2d(x, y)?;
    chart.configure_mesh().bold_line_style(GRID).axis_style(FRAME).x_desc(title).draw()?;
    for (line, colour) in lines.iter().zip(LINES) {
        chart.draw_series(LineSeries::new(line.iter().copied(), colour.stroke_width(2)))?;
    }
    for (points, colour) in circles.iter().zip(LINES) {
        let circle = |&point: &(f64, f64)| Circle::new(point, 3, colour.stroke_width(2));
        chart.draw_series(points.iter().map(circle))?;
    }
    area.present()
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

    fn step(from: f64, to: f64, messages: u64, open: u64) -> Step {
        Step { from, to, messages, open }
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
    fn any_steps_can_be_drawn() {
        let endless = step(0.0, f64::MAX, u64::MAX, u64::MAX);
        for steps in [vec![], vec![step(0.0, 0.1, 1, 0)], vec![step(0.0, 0.0, 0, 0)], vec![endless]]
        {
            assert!(rate(&steps).ends_with("</svg>\n"), "{steps:?}");
            assert!(connections(&steps).ends_with("</svg>\n"), "{steps:?}");
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
        let steps = [step(0.0, 0.1, 1, 0)];
        let (one, other) = (of(&[1]), of(&[2]));
        let line = vec![(1.0, 1.0), (2.0, 2.0)];
        let points = CurvePoints { line: line.clone(), circles: line };
        let all = [[&one, &other]; LINES.len() / 2].concat();
        let charts = rate(&steps) + &connections(&steps) + &latency(&all);
        assert_eq!(lines(&charts), LINES.len() + 2);
        let charts = charts + &curve(&[points.clone(), points], Some(3.0));
        for colour in charts.split("stroke=\"").skip(1).filter_map(|it| it.split('"').next()) {
            assert!(style.contains(&format!("[stroke=\"{colour}\"]")), "{colour}");
        }
    }
}
