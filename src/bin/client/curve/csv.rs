//! The steps of a sweep as CSV.

use serde_json::Value;

use super::curve::Curve;

/// Columns of a step's JSON, in front of those of its latencies.
const COLUMNS: [&str; 9] = [
    "rate",
    "achieved_rate",
    "held",
    "messages",
    "errors",
    "mismatches",
    "unsent",
    "seconds",
    "client_busy",
];

/// A header and a row per step. What is not known is empty. No cell has a comma or a quote.
pub(crate) fn csv(curve: &Curve, percentiles: &[f64]) -> anyhow::Result<String> {
    let latencies = curve.last.histogram.figures(percentiles);
    let names = latencies.keys().map(|name| format!("{name}_us"));
    let mut rows = vec![COLUMNS.map(str::to_owned).into_iter().chain(names).collect::<Vec<_>>()];
    for step in &curve.steps {
        let json = step.to_json(percentiles)?;
        let cells = COLUMNS.iter().map(|name| cell(&json[*name]));
        rows.push(
            cells.chain(latencies.keys().map(|name| cell(&json["latency_us"][name]))).collect(),
        );
    }
    Ok(rows.iter().map(|row| row.join(",") + "\n").collect())
}

fn cell(value: &Value) -> String {
    if value.is_null() { String::new() } else { value.to_string() }
}
