//! Flags for files that other programs read.

use std::path::PathBuf;

use clap::Args;

/// Files that other programs read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Results")]
pub(crate) struct ExportArgs {
    /// Also write a summary as CSV to this file
    ///
    /// It has a header and one row, with numbers as in the JSON.
    #[arg(long, value_name = "FILE", env = "CLIENT_CSV")]
    pub(crate) csv: Option<PathBuf>,
    /// Also write the run over time as CSV to this file
    ///
    /// It has a header and a row for each step of time.
    #[arg(long, value_name = "FILE", env = "CLIENT_CSV_TIMELINE")]
    pub(crate) csv_timeline: Option<PathBuf>,
    /// Also write percentiles for plotters to this file
    ///
    /// The format is HdrHistogram's percentile distribution (.hgrm), in microseconds.
    #[arg(long, value_name = "FILE", env = "CLIENT_HGRM")]
    pub(crate) hgrm: Option<PathBuf>,
}

impl ExportArgs {
    pub(super) fn are_given(&self) -> bool {
        [&self.csv, &self.csv_timeline, &self.hgrm].into_iter().any(Option::is_some)
    }
}
