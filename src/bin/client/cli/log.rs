//! The command line of `client log`.

use std::path::PathBuf;

use clap::Parser;
use clap::builder::BoolishValueParser;
use reactor_server::program::units;

/// Show what a server's log says of its connections and threads
///
/// The log is that of `server` or of the original program. Its connect and close lines are read,
/// other lines are skipped and counted. The time runs from the first connect to the last close of
/// the connections that had messages. Rotated logs of one server may be given in any order.
#[derive(Debug, Parser)]
#[command(name = "log", max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct LogArgs {
    /// Logs of one server; - is standard input
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Messages of each connection, if the log does not say
    ///
    /// The close lines of the original program do not have the number of messages.
    #[arg(short = 'n', long, value_name = "N", value_parser = units::positive)]
    #[arg(env = "CLIENT_MESSAGES")]
    pub(crate) messages: Option<u64>,
    /// Print the figures as one JSON object
    #[arg(long, value_parser = BoolishValueParser::new(), env = "CLIENT_JSON")]
    pub(crate) json: bool,
    /// Write the figures to a file instead of standard output
    #[arg(short, long, value_name = "FILE", env = "CLIENT_OUTPUT")]
    pub(crate) output: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  How long did its connections take, and how evenly did its threads share them?
    client log server.log
  Of a log that was rotated:
    client log server.log*
  Of the original program, whose 30 clients sent 100,000 messages each:
    client log server.log --messages 100k";
