//! The sections of the page that show a run over time.

use std::cmp::Ordering::Equal;

use super::heatmap::COLUMNS;
use super::html::{figure, legend, paragraph, section};
use super::series::{Series, folded_table};
use super::time_chart::{self, TimeCharts};
use crate::report::{Report, Step};

/// Beyond this share of the whole time, opening connections is worth a chart.
const LONG_SETUP: f64 = 0.1;

/// The sections that show a run over time, from when messages began.
pub(crate) fn sections(report: &Report) -> String {
    let (timeline, warmup) = (&report.timeline, report.plan.shape.warmup_seconds);
    let began = timeline.messages_began.unwrap_or(timeline.began);
    // Without that moment the end of the warm-up is not known either.
    let shaded = if timeline.messages_began.is_some() { warmup } else { 0.0 };
    let all = timeline.steps(began, report.ended);
    // So that the first step begins with the messages that count.
    let counted: Vec<_> = timeline.steps(began + shaded, report.ended);
    let counted: Vec<_> = counted.into_iter().map(|step| step.later(shaded)).collect();
    let step_seconds = timeline.step_seconds;
    let charts = |steps| TimeCharts { steps, step_seconds, warmup: shaded };
    [
        latency(report, charts(&counted)),
        section(
            "Messages per second",
            &(explain(warmup, shaded) + &rate(report, charts(&counted))),
        ),
        events(charts(&all)),
        connections(report, &all),
    ]
    .concat()
}

/// Explains why there are no messages at first.
fn explain(warmup: f64, shaded: f64) -> String {
    let shade = if shaded > 0.0 { ", and are shaded" } else { "" };
    match warmup {
        0.0 => String::new(),
        _ => paragraph(&format!("Messages of the warm-up ({warmup} s) do not count{shade}.")),
    }
}

fn rate(report: &Report, charts: TimeCharts) -> String {
    let planned = report.plan.shape.rate.map(|rate| rate as f64 * report.clients() as f64);
    let names = legend(&["messages per second", "planned"]);
    let names = if planned.is_some() { names } else { String::new() };
    names + &Series::rate().render(&charts.rate(planned), charts.steps, charts.step_seconds)
}

/// Results of earlier versions do not have it.
fn latency(report: &Report, charts: TimeCharts) -> String {
    let slowest = charts.steps.iter().rev().filter(|it| it.latency.len() > 0);
    let Some(slowest) =
        slowest.max_by(|a, b| a.latency.max().partial_cmp(&b.latency.max()).unwrap_or(Equal))
    else {
        return String::new();
    };
    let slowest = format!(
        "The slowest reply took {:.1} us. It arrived between {:.3} s and {:.3} s.",
        report.histogram.max(),
        slowest.from,
        slowest.to
    );
    let column = charts.step_seconds * charts.steps.len().div_ceil(COLUMNS).max(1) as f64;
    let map = format!(
        "Each column is {column:.1} s of replies. The more of them had a latency, the stronger is \
         its colour."
    );
    let cells = |step: &Step| {
        let latencies = &step.latency;
        [latencies.percentile(50.0), latencies.percentile(99.0), latencies.max()].map(microseconds)
    };
    let head = ["seconds", "p50, us", "p99, us", "max, us"];
    let content = [
        legend(&["p50 of a step", "p99 of a step", "max of a step"]),
        figure(&charts.latency(), "p50, p99 and maximum of latency over time"),
        paragraph(&slowest),
        folded_table(charts.steps, charts.step_seconds, &head, cells),
        paragraph(&map),
        figure(&charts.heatmap(), "How many replies had which latency over time"),
    ];
    section("Latency over time", &content.concat())
}

fn microseconds(figure: Option<f64>) -> String {
    figure.map_or("no reply".to_owned(), |figure| format!("{figure:.1}"))
}

/// Where there were any.
fn events(charts: TimeCharts) -> String {
    let has_any = charts.steps.iter().any(|step| step.errors + step.reconnects > 0);
    if !has_any {
        return String::new();
    }
    let cells = |step: &Step| [step.errors, step.reconnects].map(|count| count.to_string());
    let content = [
        legend(&["errors in a step", "connections that replaced another in a step"]),
        figure(&charts.events(), "Errors and reconnects over time"),
        folded_table(
            charts.steps,
            charts.step_seconds,
            &["seconds", "errors", "reconnects"],
            cells,
        ),
    ];
    section("Errors and reconnects", &content.concat())
}

/// Where their number changes, or opening them took long. At the end they close.
fn connections(report: &Report, steps: &[Step]) -> String {
    let timeline = &report.timeline;
    let before_end = &steps[..steps.len().saturating_sub(1)];
    let moves = before_end.iter().any(|step| step.open != before_end[0].open);
    let setup = timeline.messages_began.unwrap_or(timeline.began) - timeline.began;
    let long = LONG_SETUP * (report.ended - timeline.began);
    // The first step may begin almost a step before the run.
    if !moves && setup <= long.max(2.0 * timeline.step_seconds) {
        return String::new();
    }
    let steps = timeline.steps(timeline.began, report.ended);
    let chart = time_chart::connections(&steps);
    let series = Series::connections().render(&chart, &steps, timeline.step_seconds);
    section("Open connections", &series)
}
