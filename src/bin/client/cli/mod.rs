//! The command line.

mod exports;
mod load;
mod log;
mod report;
mod results;
mod values;
mod words;

use std::env;
use std::ffi::{OsStr, OsString};

use clap::error::ContextKind;
use clap::{Command, CommandFactory, Error, FromArgMatches};
use reactor_server::program::command_line::{
    env_in_long_help_only, negative_numbers_are_values, print_and_exit,
};
use reactor_server::program::stream::print_error;
use reactor_server::program::target::Target;
use reactor_server::program::variables::{self, Parsed};

pub(crate) use exports::ExportArgs;
pub(crate) use load::LoadArgs;
pub(crate) use log::LogArgs;
pub(crate) use report::ReportArgs;
pub(crate) use results::ResultArgs;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Task {
    /// A load on this server.
    Load(Box<LoadArgs>, Target),
    Report(ReportArgs),
    Log(LogArgs),
}

impl Task {
    /// Parses the command line. If it is wrong, prints the error and exits.
    pub(crate) fn parse_or_exit() -> Task {
        // Commands of their own: the environment variables of a load do not concern them.
        let word = env::args_os().nth(1).unwrap_or_default();
        let (mut command, parse) = match word.to_str() {
            Some("report") => {
                (report_command().bin_name("client report"), Task::parse_report as Parse)
            }
            Some("log") => (log_command().bin_name("client log"), Task::parse_log as Parse),
            _ => (load_command(), Task::parse_load as Parse),
        };
        parse(&mut command).unwrap_or_else(|error| {
            let error = misspelled(&command, &word).filter(|_| error.use_stderr()).unwrap_or(error);
            print_and_exit(&error.format(&mut command))
        })
    }

    fn parse_report(command: &mut Command) -> Result<Task, Error> {
        let words: Vec<_> = env::args_os().skip(1).collect();
        let matches = variables::parse(command, &words)?.matches;
        ReportArgs::from_arg_matches(&matches).map(Task::Report)
    }

    fn parse_log(command: &mut Command) -> Result<Task, Error> {
        let words: Vec<_> = env::args_os().skip(1).collect();
        let matches = variables::parse(command, &words)?.matches;
        LogArgs::from_arg_matches(&matches).map(Task::Log)
    }

    fn parse_load(command: &mut Command) -> Result<Task, Error> {
        let words: Vec<_> = env::args_os().collect();
        let Parsed { matches, warnings } = variables::parse(command, &words)?;
        let args = LoadArgs::from_arg_matches(&matches)?;
        let warnings = warnings.iter().filter(|_| !args.is_quiet());
        warnings.for_each(|warning| print_error(&format!("warning: {warning}")));
        let (args, target) = args.checked(command, &matches)?;
        Ok(Task::Load(Box::new(args), target))
    }
}

/// The error of a first word that is like the name of a subcommand, and is not the server of a
/// load: that has a port, in the same word or in the next.
fn misspelled(command: &Command, word: &OsStr) -> Option<Error> {
    let is_port = |next: OsString| next.to_str().is_some_and(|it| it.parse::<u16>().is_ok());
    if word.to_string_lossy().contains(':') || env::args_os().nth(2).is_some_and(is_port) {
        return None;
    }
    let only = Command::new("client").no_binary_name(true).override_usage(load::USAGE);
    let only = only.disable_help_subcommand(true).subcommand_required(true);
    let only = only.subcommands(command.get_subcommands());
    let error = only.try_get_matches_from([word]).err()?;
    error.get(ContextKind::SuggestedSubcommand).is_some().then_some(error)
}

type Parse = fn(&mut Command) -> Result<Task, Error>;

fn load_command() -> Command {
    negative_numbers_are_values(env_in_long_help_only(LoadArgs::command()))
        .subcommand(report_command())
        .subcommand(log_command())
}

fn report_command() -> Command {
    negative_numbers_are_values(env_in_long_help_only(ReportArgs::command()))
}

fn log_command() -> Command {
    negative_numbers_are_values(env_in_long_help_only(LogArgs::command()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_help_has_one_line_per_flag() {
        for command in [load_command(), report_command(), log_command()] {
            let help = command.term_width(100).render_help().to_string();
            let continued = help.lines().find(|line| line.starts_with(&" ".repeat(20)));
            assert_eq!(continued, None, "{help}");
        }
    }
}
