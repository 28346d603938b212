//! The page of a comparison.

use super::chart;
use super::html::{
    details, document, figure, kept, legend, list, paragraph, section, table, wrapping_table,
};
use super::page::{environment, latency_rows};
use crate::compare::{Comparison, Metric, enumerated, text};
use crate::readable;
use crate::report::Distribution;

type Row = Vec<String>;

/// A comparison as a page.
pub(crate) fn render_comparison(comparison: &Comparison, percentiles: &[f64]) -> String {
    let names: Vec<_> = comparison.standings.iter().map(|it| it.name.as_str()).collect();
    let title =
        enumerated(&comparison.standings.iter().map(|it| it.name.clone()).collect::<Vec<_>>());
    let content = [
        paragraph(&text::load(comparison)),
        section("Result", &(list(&comparison.sentences()) + &notes(comparison))),
        section("Figures", &wrapping_table(&FIGURES, &figures(comparison))),
        section("Latency", &latency(comparison, &names, percentiles)),
        section("Runs", &runs(comparison)),
        section("Environment", &environments(comparison)),
    ];
    document(&format!("client compare: {title}"), &title, &content.concat())
}

const FIGURES: [&str; 4] = ["", "median", "range of the runs", "ratio, and its interval"];

/// A row for each metric of each server.
fn figures(comparison: &Comparison) -> Vec<Row> {
    let mut rows = Vec::new();
    for (index, metric) in comparison.metrics.iter().enumerate() {
        for (place, standing) in comparison.standings.iter().enumerate() {
            let Some(spread) = standing.spreads[index] else { continue };
            let [median, least, most] =
                [spread.median, spread.least, spread.most].map(|it| kept(&metric.show(it)));
            let ratio = comparison.ratio(place, index);
            // It may wrap in front of its interval alone.
            let ratio = ratio.split_once(" (").map_or(ratio.clone(), |(mean, interval)| {
                format!("{mean} {}", kept(&format!("({interval}")))
            });
            rows.push(vec![
                format!("{}, {}", metric.name(), standing.name),
                median,
                format!("{least}\u{a0}to {most}"),
                ratio,
            ]);
        }
    }
    rows
}

fn notes(comparison: &Comparison) -> String {
    text::notes(comparison).iter().map(|note| paragraph(&format!("Note: {note}."))).collect()
}

/// The latencies of all runs of each server together.
fn latency(comparison: &Comparison, names: &[&str], percentiles: &[f64]) -> String {
    let known = comparison.standings.iter().map(|it| it.latency());
    let Some(latencies) = known.collect::<Option<Vec<_>>>() else {
        return paragraph("Not all servers have a run.");
    };
    let all: Vec<&Distribution> = latencies.iter().collect();
    let label = format!("Latency by percentile of {}", names.join(", "));
    let about = paragraph("All messages of all runs together.");
    let mut head = vec!["percentile"];
    head.extend(names);
    let rows = latency_rows(&all, percentiles, readable::micros);
    about + &legend(names) + &figure(&chart::latency(&all), &label) + &table(&head, &rows)
}

/// Every run of each server.
fn runs(comparison: &Comparison) -> String {
    let names: Vec<_> = comparison.metrics.iter().map(|it| it.name()).collect();
    let head: Vec<_> = ["run"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let mut content = String::new();
    for standing in &comparison.standings {
        let rows = standing.runs.iter().enumerate().map(|(number, run)| {
            let value =
                |metric: &Metric| metric.of(run).map_or(String::new(), |it| metric.show(it));
            let values = comparison.metrics.iter().map(value);
            [(number + 1).to_string()].into_iter().chain(values).collect()
        });
        content += &details(&standing.name, &table(&head, &rows.collect::<Vec<Row>>()));
    }
    content
}

/// The environment of the first run of each server.
fn environments(comparison: &Comparison) -> String {
    let first = comparison.standings.iter().filter_map(|it| Some((it, it.runs.first()?)));
    first
        .map(|(standing, run)| {
            let targets = run.plan.targets.join(", ");
            let about = paragraph(&format!("Server: {targets}"));
            details(&standing.name, &(about + &environment(&run.environment)))
        })
        .collect()
}
