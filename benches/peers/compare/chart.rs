//! The charts, as SVG: bars in a panel for each shape, and lines over threads.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Result = std::result::Result<(), Box<dyn Error>>;

const OURS: RGBColor = RGBColor(31, 95, 168);
const THEIRS: RGBColor = RGBColor(176, 184, 194);
const INK: RGBColor = RGBColor(40, 40, 40);
const LINES: [RGBColor; 8] = [
    OURS,
    RGBColor(120, 120, 120),
    RGBColor(214, 108, 36),
    RGBColor(46, 139, 87),
    RGBColor(126, 87, 194),
    RGBColor(190, 30, 90),
    RGBColor(0, 150, 160),
    RGBColor(150, 120, 20),
];
const FONT: &str = "sans-serif";

/// Height of a bar with the space around it, in pixels.
const BAR: i32 = 20;
/// Height above the bars, for the title of a panel.
const HEAD: i32 = 44;
/// Width left of the bars, for names, and right of the longest, for its figure.
const NAMES: i32 = 84;
const FIGURES: i32 = 70;
const WIDTH: i32 = 420;

/// Bars of one shape.
#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    /// Name, value, and whether it is this project's.
    pub(crate) bars: Vec<(String, f64, bool)>,
    /// Decimal places.
    pub(crate) digits: usize,
}

/// A line over thread counts.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(usize, f64)>,
}

fn text(size: i32, color: RGBColor, side: HPos) -> TextStyle<'static> {
    (FONT, size).into_font().color(&color).pos(Pos::new(side, VPos::Center))
}

/// Draws panels, at most three in a row.
pub(crate) fn panels(path: &Path, title: &str, panels: &[Panel]) -> Result {
    let columns = panels.len().clamp(1, 3);
    let rows = panels.len().div_ceil(columns);
    let most = panels.iter().map(|panel| panel.bars.len()).max().unwrap_or(0) as i32;
    let (width, height) = (WIDTH * columns as i32, HEAD + most * BAR + 16);
    let size = (width as u32, (HEAD + height * rows as i32) as u32);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    root.draw(&Text::new(title.to_owned(), (width / 2, 22), text(18, INK, HPos::Center)))?;
    let (_, below) = root.split_vertically(HEAD);
    for (area, panel) in below.split_evenly((rows, columns)).iter().zip(panels) {
        draw_panel(area, panel)?;
    }
    Ok(root.present()?)
}

fn draw_panel(area: &Area, panel: &Panel) -> Result {
    area.draw(&Text::new(panel.title.clone(), (12, 18), text(14, INK, HPos::Left)))?;
    let most = panel.bars.iter().map(|bar| bar.1).fold(f64::MIN_POSITIVE, f64::max);
    for (row, (name, value, is_ours)) in panel.bars.iter().enumerate() {
        let (top, middle) = (HEAD - 8 + row as i32 * BAR, HEAD - 8 + row as i32 * BAR + BAR / 2);
        let length = (f64::from(WIDTH - NAMES - FIGURES) * value.max(0.0) / most) as i32;
        let color = if *is_ours { OURS } else { THEIRS };
        let corners = [(NAMES, top + 2), (NAMES + length.max(1), top + BAR - 2)];
        area.draw(&Rectangle::new(corners, color.filled()))?;
        let ink = if *is_ours { OURS } else { INK };
        area.draw(&Text::new(name.clone(), (NAMES - 6, middle), text(12, ink, HPos::Right)))?;
        let figure = format!("{value:.*}", panel.digits);
        let place = (NAMES + length + 6, middle);
        area.draw(&Text::new(figure, place, text(12, ink, HPos::Left)))?;
    }
    Ok(())
}

/// Draws lines over thread counts, which are evenly spaced.
pub(crate) fn lines(path: &Path, title: &str, unit: &str, lines: &[Line]) -> Result {
    let mut counts: Vec<usize> =
        lines.iter().flat_map(|line| line.points.iter().map(|point| point.0)).collect();
    counts.sort_unstable();
    counts.dedup();
    let most = lines.iter().flat_map(|it| &it.points).map(|point| point.1).fold(1.0, f64::max);
    let root = SVGBackend::new(path, (720, 400)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, (FONT, 18))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(60)
        .build_cartesian_2d(-0.3..counts.len() as f64 - 0.7, 0.0..most * 1.15)?;
    let name = |at: &f64| match counts.get(at.round() as usize) {
        Some(count) if (at - at.round()).abs() < 0.01 => count.to_string(),
        _ => String::new(),
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(counts.len())
        .x_label_formatter(&name)
        .y_label_formatter(&|value| format!("{value:.0}"))
        .x_desc("server threads")
        .y_desc(unit)
        .draw()?;
    for (line, color) in lines.iter().zip(LINES.iter().cycle()) {
        let place = |count| counts.iter().position(|it| *it == count).unwrap_or(0) as f64;
        let points: Vec<_> =
            line.points.iter().map(|&(count, value)| (place(count), value)).collect();
        let dots = points.iter().map(|&point| Circle::new(point, 4, color.filled()));
        chart.draw_series(dots)?;
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))?
            .label(&line.name)
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .label_font((FONT, 13))
        .background_style(WHITE.mix(0.8))
        .border_style(THEIRS)
        .draw()?;
    Ok(root.present()?)
}
