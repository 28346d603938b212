//! The command line.

mod load;
mod report;
mod results;
mod values;

use std::env;

use clap::{Command, CommandFactory, Error, FromArgMatches};
use reactor_server::program::help::{
    env_in_long_help_only, negative_numbers_are_values, print_and_exit,
};

pub(crate) use load::LoadArgs;
pub(crate) use report::ReportArgs;
pub(crate) use results::ResultArgs;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Task {
    Load(Box<LoadArgs>),
    Report(ReportArgs),
}

impl Task {
    /// Parses the command line. If it is wrong, prints the error and exits.
    pub(crate) fn parse_or_exit() -> Task {
        // A command of its own: the environment variables of a load do not concern it.
        let is_report = env::args_os().nth(1).is_some_and(|word| word == "report");
        let (mut command, parse) = match is_report {
            true => (report_command().bin_name("client report"), Task::parse_report as Parse),
            false => (load_command(), Task::parse_load as Parse),
        };
        parse(&mut command).unwrap_or_else(|error| print_and_exit(&error.format(&mut command)))
    }

    fn parse_report(command: &mut Command) -> Result<Task, Error> {
        let matches = command.try_get_matches_from_mut(env::args_os().skip(1))?;
        ReportArgs::from_arg_matches(&matches).map(Task::Report)
    }

    fn parse_load(command: &mut Command) -> Result<Task, Error> {
        let matches = command.try_get_matches_from_mut(env::args_os())?;
        let args = LoadArgs::from_arg_matches(&matches)?.checked(command, &matches)?;
        Ok(Task::Load(Box::new(args)))
    }
}

type Parse = fn(&mut Command) -> Result<Task, Error>;

fn load_command() -> Command {
    negative_numbers_are_values(env_in_long_help_only(LoadArgs::command()))
        .subcommand(report_command())
}

fn report_command() -> Command {
    negative_numbers_are_values(env_in_long_help_only(ReportArgs::command()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_help_has_one_line_per_flag() {
        for command in [load_command(), report_command()] {
            let help = command.term_width(100).render_help().to_string();
            let continued = help.lines().find(|line| line.starts_with(&" ".repeat(20)));
            assert_eq!(continued, None, "{help}");
        }
    }
}
