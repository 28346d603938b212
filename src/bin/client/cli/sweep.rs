//! The command line of `client sweep`.

use std::path::PathBuf;

use clap::error::{Error, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory, Parser};
use reactor_server::program::target::Target;
use reactor_server::program::variables;

use super::cost::CostArgs;
use super::load::{LoadArgs, RESULTS};
use super::rates::Rates;
use super::words::Words;
use crate::report::Condition;

/// Run a load at several rates, or find the highest rate that holds a limit
///
/// Each step is a load of its own in an open loop, with new connections and a warm-up. The results
/// have a row per step: throughput and latency at each rate. A server that answers less than 98 %
/// of a rate does not keep up with it.
///
/// With --limit, the rate doubles until the limit does not hold, and the range is then halved until
/// it is narrower than 2 %. A rate fails only if it does so twice in a row, and the rate found holds
/// twice in a row. Where the client is the bottleneck, the results say so and name no limit.
///
/// The exit code is that of a load, and 1 if no limit was found. A --fail-if condition concerns
/// every step, and with --limit the steps at the rate found.
#[derive(Debug, Parser)]
#[command(name = "sweep", max_term_width = 100, after_help = EXAMPLES, override_usage = USAGE)]
pub(crate) struct SweepArgs {
    #[command(flatten)]
    words: Words,
    /// Rates to run, in messages per second: 1k,2k,5k or 10k..200k/20
    ///
    /// A range A..B/N has N rates from A to B, evenly spaced. Rates and ranges can be in one list.
    #[arg(long, value_name = "LIST", value_parser = Rates::parse, env = "CLIENT_RATES")]
    #[arg(help_heading = SWEEP)]
    rates: Option<Rates>,
    /// Find the highest rate that holds a limit, such as 'p99<1ms'
    ///
    /// The limit is one of a percentile or of max. A message that was not sent counts as slower than
    /// every reply.
    #[arg(long, value_name = "LIMIT", value_parser = Condition::parse_limit, env = "CLIENT_LIMIT")]
    #[arg(help_heading = SWEEP)]
    limit: Option<Condition>,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    cost: CostArgs,
    /// Also write a table with a row per step to this file, as CSV
    #[arg(long, value_name = "FILE", env = "CLIENT_CSV", help_heading = RESULTS)]
    pub(crate) csv: Option<PathBuf>,
    /// Also write a page with charts to this file
    #[arg(long, value_name = "FILE", env = "CLIENT_HTML", help_heading = RESULTS)]
    pub(crate) html: Option<PathBuf>,
}

/// Which rates a sweep runs.
#[derive(Debug, Clone)]
pub(crate) enum RateChoice {
    /// These, in this order.
    List(Vec<u64>),
    /// Those that lead to the highest one that holds this limit.
    Search(Condition),
}

impl RateChoice {
    /// The limit that is searched for, if one is.
    pub(crate) fn limit(&self) -> Option<&Condition> {
        match self {
            RateChoice::List(_) => None,
            RateChoice::Search(limit) => Some(limit),
        }
    }
}

const SWEEP: &str = "Sweep";

const USAGE: &str = "\
client sweep [OPTIONS] --rates <LIST> <HOST:PORT> [CONNECTIONS] [PER_SECOND]
       client sweep [OPTIONS] --limit <LIMIT> <HOST:PORT> [CONNECTIONS] [PER_SECOND]";

const EXAMPLES: &str = "\
Examples:
  Latency at 20 rates, with a chart:
    client sweep localhost:9009 --rates 10k..200k/20 --html sweep.html
  The highest rate at which 99 % of the messages take less than a millisecond:
    client sweep localhost:9009 -c 100 --limit 'p99<1ms'";

/// Flags of a load that mean nothing in a sweep, and why.
const EXCLUDED: [(&str, &str); 6] = [
    ("rate", "--rate is one rate: a sweep takes --rates or --limit"),
    ("messages", "--messages gives each rate another duration: a step lasts for --duration"),
    ("think", "--think is for a closed loop, and a sweep is an open one"),
    ("stream", "--stream has no messages that are due at a rate"),
    ("start_at", "--start-at is one moment: a sweep has many runs"),
    ("hold", "--hold does not fit a sweep: a step ends with its last reply"),
];

impl SweepArgs {
    pub(super) fn command() -> Command {
        let command = <SweepArgs as CommandFactory>::command()
            .mut_arg("duration", |arg| arg.default_value("5s"))
            .mut_arg("warmup", |arg| arg.default_value("1s"))
            .mut_arg("percentiles", |arg| arg.default_value("50,99,99.9"));
        EXCLUDED.iter().fold(command, |command, it| command.mut_arg(it.0, |arg| arg.hide(true)))
    }

    /// Reads the words, checks that they and the flags make sense together, and returns the
    /// server and the rates as well.
    ///
    /// # Errors
    /// A usage error that says which do not.
    pub(super) fn checked(
        mut self,
        command: &mut Command,
        matches: &ArgMatches,
    ) -> Result<(SweepArgs, Target, RateChoice), Error> {
        let meaning = self.words.checked(command, matches)?;
        let mut refuse =
            |text: &str| Err(variables::error(command, matches, ErrorKind::ArgumentConflict, text));
        if let Some((_, reason)) = EXCLUDED.iter().find(|it| is_set(matches, it.0)) {
            return refuse(reason);
        }
        let rates = match (self.rates.take(), self.limit.take()) {
            (Some(Rates(rates)), None) => RateChoice::List(rates),
            (None, Some(limit)) => RateChoice::Search(limit),
            (None, None) => return refuse("a sweep needs --rates or --limit"),
            (Some(_), Some(_)) => {
                return refuse("--rates and --limit exclude each other: --limit finds its rates");
            }
        };
        self.load.server = self.cost.source();
        // What does not fit an open loop does not fit a sweep. Each step has its own rate.
        self.load.rate = Some(1);
        self.load = self.load.checked(&meaning, command, matches)?;
        Ok((self, meaning.target, rates))
    }
}

/// Returns whether a flag has its value from the command line or from a variable.
fn is_set(matches: &ArgMatches, flag: &str) -> bool {
    matches.value_source(flag).is_some_and(|source| source != ValueSource::DefaultValue)
}
