//! The page of a sweep.

use super::chart::{self, CurvePoints};
use super::html::{document, figure, legend, list, paragraph, section, table};
use super::page::environment;
use crate::curve::{Curve, RateStep, text};
use crate::report::Report;

/// The results of a sweep as a page.
pub(crate) fn render(curve: &Curve, percentiles: &[f64]) -> String {
    let result = match &curve.limit {
        Some(_) => section("Limit", &paragraph(&curve.outcome())),
        None => String::new(),
    };
    let notes = list(&[text::errors(curve), text::notes(curve)].concat());
    let content = [
        result,
        section("Throughput and latency", &(lines(curve) + &notes)),
        section("Steps", &steps(curve, percentiles)),
        section("Environment", &environment(curve.environment())),
    ];
    let load = text::heading(curve);
    let content = paragraph(&load) + &content.concat();
    document(&format!("client sweep: {load}"), "Throughput and latency", &content)
}

/// The chart: latency over the rate that was answered.
fn lines(curve: &Curve) -> String {
    let upper = |report: &Report| match &curve.limit {
        Some(limit) => limit.latency_of(report),
        None => Some(report.histogram.percentile(99.0)),
    };
    let median = |report: &Report| Some(report.histogram.percentile(50.0));
    let lines = [points(&curve.steps, median), points(&curve.steps, upper)];
    let upper = curve.limit.as_ref().map_or("p99", |limit| limit.name());
    let limit = curve.limit.as_ref().map(|limit| format!("the limit {limit}"));
    let names: Vec<_> = ["p50", upper].into_iter().chain(limit.as_deref()).collect();
    let svg = chart::curve(&lines, curve.limit.as_ref().map(|limit| limit.bound()));
    let label = format!("Latency over messages per second: {}", names.join(", "));
    let explained = "A circle is a step. The lines join those that held their rate.";
    legend(&names) + &figure(&svg, &label) + &paragraph(explained)
}

/// A point per step that has a latency, by the rate that was due.
fn points(steps: &[RateStep], latency: impl Fn(&Report) -> Option<f64>) -> CurvePoints {
    let mut steps: Vec<_> = steps.iter().filter(|it| !it.report.histogram.is_empty()).collect();
    steps.sort_by_key(|step| step.rate);
    let point = |step: &&RateStep| Some((step.report.rate(), latency(&step.report)?));
    let held = steps.iter().copied().filter(|step| step.has_held());
    CurvePoints {
        line: held.filter_map(|step| point(&step)).collect(),
        circles: steps.iter().filter_map(point).collect(),
    }
}

/// The table of the text, with the result of a step beside its rate: a narrow screen shows it.
fn steps(curve: &Curve, percentiles: &[f64]) -> String {
    let row = |mut cells: Vec<String>, result: String| {
        cells.insert(1, result);
        cells
    };
    let head = row(text::head(percentiles), "result".to_owned());
    let head: Vec<_> = head.iter().map(String::as_str).collect();
    let rows = curve.steps.iter();
    let rows: Vec<_> =
        rows.map(|step| row(text::cells(step, percentiles), text::result(step))).collect();
    table(&head, &rows)
}
