//! The latencies as HdrHistogram prints them, which its plotters and many scripts read.
//!
//! It is what `outputPercentileDistribution` of the Java original writes, with five steps in each
//! half of the distance to 100 %: latency, share of the messages, their number, and the inverse
//! of the rest. In the last line there is no rest, and so no inverse.

use std::fmt::Write;

use super::report::Report;

/// Steps in each half of the distance to 100 %.
const STEPS: i32 = 5;
/// As many as three significant digits need.
const SUB_BUCKETS: u32 = 2048;

/// The latencies in microseconds; in an open loop from when the messages were due.
pub(crate) fn render(report: &Report, _: &[f64]) -> anyhow::Result<String> {
    let (latency, histogram) = (&report.histogram, &report.histogram.0);
    let head = ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"];
    let mut text = format!("{:>12} {:>14} {:>10} {:>14}\n\n", head[0], head[1], head[2], head[3]);
    for rest in rests().take_while(|_| !latency.is_empty()) {
        let (share, micros) = (1.0 - rest, latency.percentile(100.0 * (1.0 - rest)));
        let count = histogram.count_between(0, (micros * 1000.0).round() as u64);
        writeln!(text, "{micros:12.3} {share:.12} {count:10} {:14.2}", 1.0 / rest)?;
        if count == latency.len() {
            writeln!(text, "{micros:12.3} {:.12} {count:10}", 1.0)?;
            break;
        }
    }
    let (mean, deviation) = (histogram.mean() / 1000.0, histogram.stdev() / 1000.0);
    let (max, count, buckets) = (latency.max(), latency.len(), histogram.buckets());
    writeln!(text, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]")?;
    writeln!(text, "#[Max     = {max:12.3}, Total count    = {count:12}]")?;
    writeln!(text, "#[Buckets = {buckets:12}, SubBuckets     = {SUB_BUCKETS:12}]")?;
    Ok(text)
}

/// The shares of messages beyond those of each line.
fn rests() -> impl Iterator<Item = f64> {
    let step = |step: i32| 1.0 - f64::from(step) / f64::from(2 * STEPS);
    (0..).flat_map(move |half| (0..STEPS).map(move |it| step(it) / 2_f64.powi(half)))
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;
    use serde_json::json;

    use super::super::distribution::Distribution;
    use super::super::sample::{read, results};
    use super::*;

    fn rendered(latencies: &[(u64, u64)]) -> (Report, String) {
        let mut json = results(1);
        let mut histogram = Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("it");
        latencies.iter().for_each(|&(nanos, count)| {
            histogram.record_n(nanos, count).expect("it fits");
        });
        json["messages"] = histogram.len().into();
        json["histogram"] = json!(Distribution(histogram));
        json.as_object_mut().expect("it").remove("histogram_raw");
        let report = read(json).expect("results");
        let text = render(&report, &[]).expect("it");
        (report, text)
    }

    /// The numbers are those that HdrHistogram_c 0.11 prints for the same values.
    #[test]
    fn the_text_is_the_one_that_hdrhistogram_prints() {
        let (_, text) = rendered(&[(1_000, 6), (2_000, 3), (70_000, 1)]);
        assert_eq!(
            text,
            "       Value     Percentile TotalCount 1/(1-Percentile)

       1.000 0.000000000000          6           1.00
       1.000 0.100000000000          6           1.11
       1.000 0.200000000000          6           1.25
       1.000 0.300000000000          6           1.43
       1.000 0.400000000000          6           1.67
       1.000 0.500000000000          6           2.00
       1.000 0.550000000000          6           2.22
       1.000 0.600000000000          6           2.50
       2.000 0.650000000000          9           2.86
       2.000 0.700000000000          9           3.33
       2.000 0.750000000000          9           4.00
       2.000 0.775000000000          9           4.44
       2.000 0.800000000000          9           5.00
       2.000 0.825000000000          9           5.71
       2.000 0.850000000000          9           6.67
       2.000 0.875000000000          9           8.00
       2.000 0.887500000000          9           8.89
       2.000 0.900000000000          9          10.00
      70.015 0.912500000000         10          11.43
      70.015 1.000000000000         10
#[Mean    =        8.198, StdDeviation   =       20.600]
#[Max     =       70.015, Total count    =           10]
#[Buckets =           32, SubBuckets     =         2048]
"
        );
    }

    #[test]
    fn its_percentiles_are_those_of_the_json() {
        let latencies: Vec<_> = (1..500).map(|nanos| (nanos * nanos, 30)).collect();
        let (report, text) = rendered(&latencies);
        for percentile in [50.0, 90.0, 95.0, 97.5] {
            let share = format!(" {:.12} ", percentile / 100.0);
            let line = text.lines().find(|line| line.contains(&share)).expect("a line");
            let value = format!("{:12.3}", report.histogram.percentile(percentile));
            assert!(line.starts_with(&value), "{line}: {value}");
        }
    }

    #[test]
    fn without_replies_it_has_no_lines() {
        let (_, text) = rendered(&[]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((lines.len(), lines[2].contains("=        0.000,")), (5, true), "{text}");
    }
}
