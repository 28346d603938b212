//! The command line of `client compare`.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::error::{Error, ErrorKind};
use clap::{ArgMatches, Command, Parser};
use reactor_server::program::variables;

use super::cost::{page_of, process_of};
use super::inputs::refuse_overwriting;
use super::load::{LoadArgs, RESULTS};
use super::subjects::{Subjects, subjects};
use crate::meter::CostSource;

/// Compare servers under the same load
///
/// TARGET is HOST:PORT of a running server, or a file of results of `client --json`. Servers are
/// loaded one after another, with rest between; every second round runs backwards. Each figure is
/// the median of the runs, with their range. From four runs on, its ratio to that of the first server
/// has a confidence interval from the runs in pairs, and a difference is claimed only where the interval does not
/// hold 1: in at most one of twenty comparisons of equal servers.
///
/// Of files, those with the same NAME are the runs of one server, in their order.
///
/// The exit code is 0 if all replies of all runs were verified, whatever the difference, 1 if a
/// server failed, which ends the comparison, 2 for wrong usage, 3 if a run met a --fail-if
/// condition, and 130 if the client was interrupted. The results so far are printed in any case.
#[derive(Debug, Parser)]
#[command(name = "compare", max_term_width = 100, after_help = EXAMPLES)]
#[command(override_usage = "client compare [OPTIONS] <[NAME=]TARGET> <[NAME=]TARGET>...")]
pub(super) struct CompareFlags {
    /// Running servers, or files of results
    #[arg(value_name = "[NAME=]TARGET", required = true)]
    words: Vec<String>,
    /// Runs of each server
    #[arg(long, value_name = "N", default_value_t = 5, env = "CLIENT_RUNS")]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..=1000))]
    runs: usize,
    #[command(flatten)]
    load: LoadArgs,
    /// Compare the CPU time of servers, too: processes on this machine
    ///
    /// Repeat the flag for several servers, or separate them by commas.
    #[arg(id = "server_pid", long = "server-pid", value_name = "NAME=PID", value_parser = process_of)]
    #[arg(value_delimiter = ',', env = "CLIENT_SERVER_PID", help_heading = RESULTS)]
    server_pids: Vec<(String, CostSource)>,
    /// Compare the CPU time of servers, too, as their admin pages have it
    ///
    /// Repeat the flag for several servers, or separate them by commas.
    #[arg(id = "server", long = "server", value_name = "NAME=URL", value_parser = page_of)]
    #[arg(value_delimiter = ',', env = "CLIENT_SERVER", help_heading = RESULTS)]
    pages: Vec<(String, CostSource)>,
    /// Also write a page with charts to this file
    #[arg(long, value_name = "FILE", env = "CLIENT_HTML", help_heading = RESULTS)]
    html: Option<PathBuf>,
}

/// What is compared, and how.
#[derive(Debug)]
pub(crate) struct CompareArgs {
    pub(crate) subjects: Subjects,
    pub(crate) runs: usize,
    pub(crate) load: LoadArgs,
    pub(crate) html: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  Two servers, five runs of two seconds each:
    client compare ours=localhost:9009 tokio=localhost:9010 -d 2s
  More runs make the intervals narrower; the CPU time shows what the rate may not:
    client compare a=localhost:9009 b=localhost:9010 -d 1s --runs 20 --server-pid a=71,b=72
  Results of other machines, four runs of each server:
    client compare old=old-{1,2,3,4}.json new=new-{1,2,3,4}.json --html new.html";

/// The headings of the flags that make a load, and not its results.
const OF_A_LOAD: [&str; 2] = ["Connections", "Messages"];

impl CompareFlags {
    /// Reads the words, and checks that they and the flags make sense together.
    ///
    /// # Errors
    /// A usage error that says which do not.
    pub(super) fn checked(
        self,
        command: &mut Command,
        matches: &ArgMatches,
    ) -> Result<CompareArgs, Error> {
        let sources = [&self.server_pids[..], &self.pages].concat();
        let subjects = subjects(&self.words, &sources, |path| path.exists());
        let subjects = subjects.map_err(|problem| {
            variables::error(command, matches, ErrorKind::ValueValidation, &problem)
        })?;
        if self.load.start_at.is_some() {
            let text = "--start-at is one moment: a comparison has many runs";
            return Err(variables::error(command, matches, ErrorKind::ArgumentConflict, text));
        }
        let mut load = self.load;
        match &subjects {
            Subjects::Servers(servers) => {
                for server in servers {
                    load = load.checked(&server.target.clone().into(), command, matches)?;
                }
            }
            Subjects::Files(files) => {
                refuse_overwriting(files.iter().flat_map(|it| &it.paths), command, matches)?;
                if let Some(flag) = flag_of_a_load(command, matches) {
                    let text = format!("{flag} is for running servers, and these are files");
                    let kind = ErrorKind::ArgumentConflict;
                    return Err(variables::error(command, matches, kind, &text));
                }
            }
        }
        Ok(CompareArgs { subjects, runs: self.runs, load, html: self.html })
    }
}

/// A flag on the command line that makes a load, if there is one.
fn flag_of_a_load(command: &Command, matches: &ArgMatches) -> Option<String> {
    let flags = command.get_arguments().filter(|it| {
        let is_of_load = it.get_help_heading().is_some_and(|it| OF_A_LOAD.contains(&it));
        is_of_load || ["runs", "server", "server_pid"].contains(&it.get_id().as_str())
    });
    let mut given = flags.filter(|it| variables::is_given(matches, it.get_id().as_str()));
    given.next().and_then(|it| Some(format!("--{}", it.get_long()?)))
}
