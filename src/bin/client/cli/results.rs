//! Flags for results, of a load or of a merged report.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use reactor_server::program::units;

use crate::report::Condition;

/// What to do with the results.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Results")]
pub(crate) struct ResultArgs {
    /// Percentiles of latency to report
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = units::percentile)]
    #[arg(default_value = "50,90,95,99,99.9,99.99", env = "CLIENT_PERCENTILES")]
    pub(crate) percentiles: Vec<f64>,
    /// Print the results as one JSON object
    ///
    /// On a terminal it lacks the histograms, which only programs can read.
    #[arg(long, value_parser = BoolishValueParser::new(), env = "CLIENT_JSON")]
    pub(crate) json: bool,
    /// Write the results to a file instead of standard output
    ///
    /// Results that the file does not take go to standard output. The exit code is then 1.
    #[arg(short, long, value_name = "FILE", env = "CLIENT_OUTPUT")]
    pub(crate) output: Option<PathBuf>,
    /// Exit with code 3 if the results meet a condition, such as 'p99>5ms'
    ///
    /// A condition compares p50 or another percentile, max, mean, rate, messages, errors,
    /// mismatches, opened, failed, unsent, not_closed, reconnects or outage_max by >, >=, < or <=:
    /// 'p99>5ms', 'rate<100k', 'outage_max>=1s'. Repeat the flag for several conditions, or separate them by commas.
    #[arg(long, value_name = "CONDITION", value_parser = Condition::parse, env = "CLIENT_FAIL_IF")]
    #[arg(value_delimiter = ',')]
    pub(crate) fail_if: Vec<Condition>,
}
