//! A comparison as text.

use reactor_server::program::printable::printable;

use super::comparison::Comparison;
use super::contest::Ending;
use crate::report::text::{heading, shape};

/// The comparison as text: a block for each metric, in it a line for each server.
pub(crate) fn render(comparison: &Comparison) -> String {
    let ratio = format!("ratio to {}", comparison.standings[0].name);
    let head = ["", "median", "range of the runs", &ratio].map(str::to_owned);
    let places = 0..comparison.standings.len();
    let block = |index| places.clone().map(|place| cells(comparison, place, index)).collect();
    let blocks: Vec<Vec<Row>> = (0..comparison.metrics.len()).map(block).collect();
    let rows = || [&head].into_iter().chain(blocks.iter().flatten());
    let widths =
        [0, 1, 2].map(|at| rows().map(|row| row[at].chars().count()).max().unwrap_or_default());
    let mut lines = vec![load(comparison)];
    for (index, (metric, block)) in comparison.metrics.iter().zip(&blocks).enumerate() {
        lines.push(String::new());
        lines.extend((index == 0).then(|| aligned(widths, &head)));
        lines.push(metric.name());
        lines.extend(block.iter().map(|row| aligned(widths, row)));
    }
    lines.push(String::new());
    lines.extend(comparison.sentences().iter().map(|sentence| format!("{sentence}.")));
    lines.extend(comparison.failures().iter().map(|failure| format!("error     {failure}")));
    lines.extend(notes(comparison).iter().map(|note| format!("note      {note}")));
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

/// A name, a median, the range of the runs, and the ratio to the first server.
type Row = [String; 4];

fn cells(comparison: &Comparison, place: usize, index: usize) -> Row {
    let (metric, standing) = (comparison.metrics[index], &comparison.standings[place]);
    let name = standing.name.clone();
    let Some(spread) = standing.spreads[index] else {
        return [name, "unknown".to_owned(), String::new(), String::new()];
    };
    let [median, least, most] =
        [spread.median, spread.least, spread.most].map(|value| metric.show(value));
    [name, median, format!("({least} to {most})"), comparison.ratio(place, index)]
}

fn aligned(widths: [usize; 3], [name, median, range, ratio]: &Row) -> String {
    let [first, second, third] = widths;
    format!("  {name:first$}  {median:>second$}  {range:third$}  {ratio}").trim_end().to_owned()
}
