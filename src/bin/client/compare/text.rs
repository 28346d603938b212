//! A comparison as text.

use reactor_server::program::printable::printable;

use super::comparison::{Comparison, Standing};
use super::contest::Ending;
use super::metric::Metric;
use super::sentence::shown;
use crate::report::text::{heading, shape};

/// The comparison as text: a block for each metric, in it a line for each server.
pub(crate) fn render(comparison: &Comparison) -> String {
    let mut lines = vec![load(comparison)];
    let width = comparison.standings.iter().map(|it| it.name.chars().count()).max().unwrap_or(0);
    let ratio = format!("ratio to {}", comparison.standings[0].name);
    for (index, metric) in comparison.metrics.iter().enumerate() {
        lines.push(String::new());
        if index == 0 {
            lines.push(row(width, ["", "median", "range of the runs", &ratio]));
        }
        lines.push(metric.name());
        lines.extend(comparison.standings.iter().map(|it| line(*metric, index, it, width)));
    }
    lines.push(String::new());
    lines.extend(comparison.sentences().iter().map(|sentence| format!("{sentence}.")));
    lines.extend(comparison.failures().iter().map(|failure| format!("error: {failure}")));
    lines.extend(notes(comparison).iter().map(|note| format!("note: {note}")));
    // A name may hold a line break.
    lines.iter().map(|line| printable(line) + "\n").collect()
}

/// How many servers and runs, and the load of each.
pub(crate) fn load(comparison: &Comparison) -> String {
    let runs = comparison.standings.iter().map(|it| it.runs.len());
    let (least, most) = (runs.clone().min().unwrap_or(0), runs.max().unwrap_or(0));
    let runs = match (least, most) {
        (1, 1) => "1 run".to_owned(),
        (least, most) if least == most => format!("{most} runs"),
        (least, most) => format!("{least} to {most} runs"),
    };
    let run = comparison.standings.iter().find_map(|it| it.runs.first());
    let load = run.map(|run| format!(" with {}: {}", heading(run), shape(run)));
    format!("{} servers, {runs} each{}", comparison.standings.len(), load.unwrap_or_default())
}

/// What limits the validity of the comparison.
pub(crate) fn notes(comparison: &Comparison) -> Vec<String> {
    let interrupted = (comparison.ending == Ending::Interrupted)
        .then(|| "interrupted: these are the runs until then".to_owned());
    let differences = comparison.differences.iter().cloned();
    interrupted.into_iter().chain(differences).chain(comparison.method()).collect()
}

/// The median of a server, the range of its runs, and the ratio to the first server.
fn line(metric: Metric, index: usize, standing: &Standing, width: usize) -> String {
    let name = &standing.name;
    let Some(spread) = standing.spreads[index] else {
        return row(width, [name, "unknown", "", ""]);
    };
    let [median, least, most] =
        [spread.median, spread.least, spread.most].map(|value| metric.show(value));
    let range = format!("({least} to {most})");
    let ratio = standing.ratios[index].map_or(String::new(), |ratio| shown(&ratio));
    row(width, [name, &median, &range, &ratio])
}

fn row(width: usize, [name, median, range, ratio]: [&str; 4]) -> String {
    format!("  {name:width$}  {median:>12}  {range:<28}  {ratio}").trim_end().to_owned()
}
