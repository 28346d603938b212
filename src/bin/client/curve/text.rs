//! The results of a sweep as text.

use std::fmt::Write;

use reactor_server::program::printable::printable;

use super::curve::Curve;
use super::step::RateStep;
use crate::readable;
use crate::report::{Condition, text as report_text};

/// The results as text: what was run, a row per step, and the limit.
pub(crate) fn render(curve: &Curve, percentiles: &[f64]) -> String {
    let mut text = String::new();
    let mut line = |line: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", printable(line));
    };
    line(&heading(curve));
    let rows = curve.steps.iter().map(|step| cells(step, percentiles));
    let rows: Vec<_> = [head(percentiles)].into_iter().chain(rows).collect();
    let results = curve.steps.iter().map(result);
    for (row, result) in aligned(&rows).zip([String::new()].into_iter().chain(results)) {
        line(format!("{row}  {result}").trim_end());
    }
    if curve.limit.is_some() {
        line(&format!("limit     {}", curve.outcome()));
    }
    for note in errors(curve) {
        line(&format!("error     {note}"));
    }
    for note in notes(curve) {
        line(&format!("note      {note}"));
    }
    text
}

/// What was run.
pub(crate) fn heading(curve: &Curve) -> String {
    let shape = &curve.last.plan.shape;
    let interrupted = if curve.interrupted { "interrupted: " } else { "" };
    format!(
        "{interrupted}{} {}; {} of {} s after {} s of warm-up",
        readable::counted(curve.last.connections.requested, "connection", "connections"),
        report_text::plan_of(&curve.last, "open loop"),
        readable::counted(curve.steps.len() as u64, "step", "steps"),
        shape.duration_seconds.unwrap_or_default(),
        shape.warmup_seconds
    )
}

/// The names of the columns.
pub(crate) fn head(percentiles: &[f64]) -> Vec<String> {
    let latencies = percentiles.iter().map(|percentile| format!("p{percentile}"));
    let before = ["rate", "answered"].map(str::to_owned).into_iter();
    before.chain(latencies).chain(["max", "unsent", "client"].map(str::to_owned)).collect()
}

/// The cells of a step's row.
pub(crate) fn cells(step: &RateStep, percentiles: &[f64]) -> Vec<String> {
    let latency = &step.report.histogram;
    let figure = |figure: f64| match latency.is_empty() {
        true => "-".to_owned(),
        false => readable::micros(figure),
    };
    let latencies = percentiles.iter().map(|&percentile| figure(latency.percentile(percentile)));
    let busy = step.client_share().map_or("-".to_owned(), |it| format!("{:.0} %", 100.0 * it));
    [readable::count(step.rate), readable::number(step.report.rate())]
        .into_iter()
        .chain(latencies)
        .chain([figure(latency.max()), readable::count(step.report.unsent), busy])
        .collect()
}

/// The rows of a table, whose cells stand below each other.
fn aligned(rows: &[Vec<String>]) -> impl Iterator<Item = String> {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    rows.iter().map(move |row| {
        let cells = row.iter().enumerate();
        let cells: Vec<_> = cells.map(|(at, cell)| format!("{cell:>0$}", width(at))).collect();
        cells.join("  ")
    })
}

/// How a step ended, in a few words for the end of its row.
pub(crate) fn result(step: &RateStep) -> String {
    let names: Vec<_> = step.reasons.iter().map(|reason| reason.name.as_str()).collect();
    if step.has_held() { "held".to_owned() } else { format!("failed: {}", names.join(", ")) }
}

/// How a step ended, for a line of progress.
pub(crate) fn ending(step: &RateStep, limit: Option<&Condition>) -> String {
    let reasons: Vec<_> = step.reasons.iter().map(|reason| reason.text.as_str()).collect();
    match limit.and_then(|limit| limit.latency_in(&step.report)) {
        _ if !step.has_held() => format!("failed: {}", reasons.join(", ")),
        Some(latency) => format!("held: {latency}"),
        None => "held".to_owned(),
    }
}

/// The errors and mismatches of all steps.
pub(crate) fn errors(curve: &Curve) -> Vec<String> {
    let of_steps = curve.steps.iter().flat_map(|step| {
        let errors = report_text::errors(&step.report).into_iter();
        errors.map(|error| format!("at {} per second: {error}", readable::count(step.rate)))
    });
    of_steps.collect()
}

/// What limits the validity of the figures, of the step with the highest rate that held.
pub(crate) fn notes(curve: &Curve) -> Vec<String> {
    let held = curve.steps.iter().filter(|step| step.has_held());
    held.max_by_key(|step| step.rate).map_or(Vec::new(), |step| report_text::notes(&step.report))
}
