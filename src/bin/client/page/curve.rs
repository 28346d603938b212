//! The page of a sweep.

use super::chart::{self, Points};
use super::html::{figure, legend, list, paragraph, section, table};
use super::page::{document, environment};
use crate::curve::{Curve, RateStep, text};
use crate::report::Report;

/// The results of a sweep as a page.
pub(crate) fn render(curve: &Curve, percentiles: &[f64]) -> String {
    let result = match &curve.limit {
        Some(_) => section("Limit", &paragraph(&text::outcome(curve))),
        None => String::new(),
    };
    let notes = list(&[text::errors(curve), text::notes(curve)].concat());
    let content = [
        result,
        section("Throughput and latency", &(lines(curve) + &notes)),
        section("Steps", &steps(curve, percentiles)),
        section("Environment", &environment(&curve.last.environment)),
    ];
    document("client sweep", "Throughput and latency", &text::heading(curve), &content.concat())
}

/// The chart: latency over the rate that was answered.
fn lines(curve: &Curve) -> String {
    let upper = |report: &Report| match &curve.limit {
        Some(limit) => limit.latency_of(report),
        None => Some(report.histogram.percentile(99.0)),
    };
    let median = |report: &Report| Some(report.histogram.percentile(50.0));
    let lines = [points(&curve.steps, median), points(&curve.steps, upper)];
    let upper_name = curve.limit.as_ref().map_or("p99", |limit| limit.name());
    let limit = curve.limit.as_ref().map(|limit| format!("the limit {limit}"));
    let names: Vec<_> = ["p50", upper_name].into_iter().chain(limit.as_deref()).collect();
    let svg = chart::curve(&lines, curve.limit.as_ref().map(|limit| limit.bound()));
    let label = format!("Latency over messages per second: {}", names.join(", "));
    legend(&names) + &figure(&svg, &label)
}

/// A point per step that has a latency, by the rate that was due.
fn points(steps: &[RateStep], latency: impl Fn(&Report) -> Option<f64>) -> Points {
    let mut steps: Vec<_> = steps.iter().filter(|it| !it.report.histogram.is_empty()).collect();
    steps.sort_by_key(|step| step.rate);
    let point = |step: &RateStep| Some((step.report.rate(), latency(&step.report)?));
    steps.into_iter().filter_map(point).collect()
}

fn steps(curve: &Curve, percentiles: &[f64]) -> String {
    let head = [text::head(percentiles), vec!["result".to_owned()]].concat();
    let head: Vec<_> = head.iter().map(String::as_str).collect();
    let row = |step: &RateStep| {
        [text::cells(step, percentiles), vec![text::ending(step, curve.limit.as_ref())]].concat()
    };
    table(&head, &curve.steps.iter().map(row).collect::<Vec<_>>())
}
