//! The page: one file without scripts that needs no other.

use chrono::DateTime;

use super::axis;
use super::chart;
use super::html::{details, document, figure, legend, list, paragraph, section, table};
use super::over_time;
use crate::report::{Distribution, Environment, Report, text};

type Row = Vec<String>;

/// The results as a page.
pub(crate) fn render(report: &Report, percentiles: &[f64]) -> String {
    let (title, date) = (title(report), date(&report.environment.started));
    let load = format!("{} {}", text::heading(report), text::plan(report));
    let about = paragraph(&load) + &paragraph(&format!("Started {date}"));
    document(&format!("{title}, {date}"), &title, &(about + &sections(report, percentiles)))
}

/// What the page is about.
fn title(report: &Report) -> String {
    match &report.plan.targets[..] {
        [target] => format!("Echo load on {target}"),
        targets => format!("Echo load on {} servers", targets.len()),
    }
}

/// A moment as people write it, or as it is if it is in no format that a client writes.
fn date(moment: &str) -> String {
    let date = DateTime::parse_from_rfc3339(moment);
    date.map_or(moment.to_owned(), |date| date.format("%Y-%m-%d %H:%M:%S %:z").to_string())
}

fn sections(report: &Report, percentiles: &[f64]) -> String {
    [
        section("Figures", &(table(&[], &figures(report)) + &list(&notes(report)))),
        section("Latency", &latency(report, percentiles)),
        over_time::sections(report),
        section("Environment", &environments(report)),
    ]
    .concat()
}

/// The main figures, each with its name.
fn figures(report: &Report) -> Vec<Row> {
    let connections = &report.connections;
    let mut rows = vec![
        ("messages", report.messages.to_string()),
        ("messages per second", format!("{:.0}", report.rate())),
        ("seconds", format!("{:.3}", report.seconds)),
        ("mismatches", report.mismatches.to_string()),
        ("errors", report.errors.to_string()),
    ];
    if report.plan.shape.rate.is_some() {
        rows.push(("not sent in time", report.unsent.to_string()));
    }
    rows.push(("connections opened", connections.opened.to_string()));
    rows.push(("connections failed", connections.failed.to_string()));
    if connections.reopened > 0 {
        rows.push(("connections replaced", connections.reopened.to_string()));
    }
    rows.extend(text::outages(report));
    if report.messages > 0 {
        rows.extend(text::costs(report));
    }
    rows.into_iter().map(|(name, figure)| vec![name.to_owned(), figure]).collect()
}

/// The errors, and what limits the validity of the figures.
fn notes(report: &Report) -> Vec<String> {
    [text::errors(report), text::notes(report)].concat()
}

fn latency(report: &Report, percentiles: &[f64]) -> String {
    let corrected = &report.histogram;
    if corrected.is_empty() {
        return paragraph("No reply arrived.");
    }
    let (mut all, mut names, mut head) =
        (vec![corrected], vec![text::basis(report)], vec!["percentile", "latency, us"]);
    if let Some(raw) = &report.histogram_raw {
        all.push(raw);
        names.push("from when it was sent (raw)");
        head = vec!["percentile", "corrected, us", "raw, us"];
    }
    let chart = figure(&chart::latency(&all), &describe(corrected, &names));
    legend(&names)
        + &chart
        + &table(&head, &latency_rows(&all, percentiles, |it| format!("{it:.1}")))
}

fn describe(latency: &Distribution, names: &[&str]) -> String {
    format!(
        "Latency by percentile, {}: half of the messages within {:.1} us, 99 % within {:.1} us, \
         all within {:.1} us",
        names.join(", and "),
        latency.percentile(50.0),
        latency.percentile(99.0),
        latency.max()
    )
}

/// The percentiles on the axis and those requested, then maximum and mean, as `show` writes them.
pub(super) fn latency_rows(
    latencies: &[&Distribution],
    requested: &[f64],
    show: fn(f64) -> String,
) -> Vec<Row> {
    let messages = latencies.iter().map(|it| it.len()).max().unwrap_or(0);
    let row = |name: String, figure: &dyn Fn(&Distribution) -> f64| {
        let figures = latencies.iter().map(|it| show(figure(it)));
        [name].into_iter().chain(figures).collect()
    };
    let mut rows: Vec<Row> = axis::percentiles(messages, requested)
        .into_iter()
        .map(|percentile| row(percentile.to_string(), &|it| it.percentile(percentile)))
        .collect();
    rows.push(row("max".to_owned(), &Distribution::max));
    rows.push(row("mean".to_owned(), &Distribution::mean));
    rows
}

/// The environments of all clients.
fn environments(report: &Report) -> String {
    match &report.environments[..] {
        [] => environment(&report.environment),
        others => [&report.environment]
            .into_iter()
            .chain(others)
            .map(|it| {
                let on = format!("on {}, started {}", known(&it.host), it.started);
                details(&on, &environment(it))
            })
            .collect(),
    }
}

fn known(text: &Option<String>) -> String {
    text.clone().unwrap_or_else(|| "unknown".to_owned())
}

pub(super) fn environment(it: &Environment) -> String {
    let rows = [
        ("host", known(&it.host)),
        ("kernel", known(&it.kernel)),
        ("CPUs", it.cpus.to_string()),
        ("CPU model", known(&it.cpu_model)),
        ("version", it.version.clone()),
        ("started", it.started.clone()),
        ("command", it.command.clone()),
    ];
    let rows = rows.map(|(name, value)| vec![name.to_owned(), value]);
    table(&[], &rows)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::sample::accepted;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn a_page_shows_characters_and_numbers_whatever_the_files_hold(reports in accepted()) {
            for report in reports {
                let page = render(&report, &[50.0]);
                let is_plain = !page.contains(['\x1b', '\u{202e}']);
                prop_assert!(is_plain && !page.contains("NaN"), "{}", page);
            }
        }
    }
}
