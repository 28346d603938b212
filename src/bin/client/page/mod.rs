//! The results as an HTML page with charts.

mod axis;
mod chart;
mod compare;
mod curve;
mod heatmap;
mod html;
mod over_time;
#[expect(clippy::module_inception, reason = "the folder is named for its main file")]
mod page;
mod series;
mod time_chart;

pub(crate) use compare::render_comparison;
pub(crate) use curve::render as render_curve;
pub(crate) use page::render;
