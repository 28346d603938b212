//! The command line of `client report`.

use std::path::PathBuf;

use clap::Parser;

use super::exports::ExportArgs;
use super::results::ResultArgs;

/// Merge the JSON results of several clients into one report
///
/// The clients must have run the same plan against the same server, but their connections may
/// differ. `client compare` compares others. Histograms are merged, so percentiles are those of all messages together. The rate is taken
/// over the time from the first message of any client to the last reply of any client. The exit
/// code is that of a client with these results.
#[derive(Debug, Parser)]
#[command(name = "report", max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct ReportArgs {
    /// Results of `client --json` or `client report --json`; - is standard input
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) results: ResultArgs,
    #[command(flatten)]
    pub(crate) exports: ExportArgs,
    /// Also write a page with charts to this file
    #[arg(long, value_name = "FILE", env = "CLIENT_HTML", help_heading = "Results")]
    pub(crate) html: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  Merge the results of two machines:
    client report a.json b.json
  Draw charts of one result:
    client report a.json --html a.html
  Keep the merged result, and fail if it is too slow:
    client report run-*.json --json -o all.json --fail-if 'p99>5ms'";
