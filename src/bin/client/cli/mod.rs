//! The command line.

mod body;
mod compare;
mod cost;
mod exports;
mod inputs;
mod load;
mod log;
mod payload;
mod rates;
mod report;
mod results;
mod single;
mod subjects;
mod sweep;
mod values;
mod words;

use std::env;
use std::ffi::{OsStr, OsString};

use clap::error::ContextKind;
use clap::{Command, CommandFactory, Error, FromArgMatches};
use reactor_server::program::command_line::{
    env_in_long_help_only, negative_numbers_are_values, print_and_exit,
};
use reactor_server::program::generate::GenerateArgs;
use reactor_server::program::stream::print_error;
use reactor_server::program::target::Target;
use reactor_server::program::variables::{self, Parsed};

pub(crate) use compare::CompareArgs;
use compare::CompareFlags;
pub(crate) use exports::ExportArgs;
use inputs::refuse_overwriting;
pub(crate) use load::LoadArgs;
pub(crate) use log::LogArgs;
pub(crate) use report::ReportArgs;
pub(crate) use results::ResultArgs;
use single::SingleArgs;
pub(crate) use subjects::{NamedFiles, NamedServer, Subjects};
pub(crate) use sweep::{RateChoice, SweepArgs};

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Task {
    /// A load on this server.
    Load(Box<LoadArgs>, ExportArgs, Target),
    /// Whether such a load fits.
    Check(Box<LoadArgs>, Target),
    /// To generate files for packages.
    Generate(GenerateArgs, Box<Command>),
    Report(ReportArgs),
    Compare(Box<CompareArgs>),
    /// Loads on this server at several rates.
    Sweep(Box<SweepArgs>, Target, RateChoice),
    Log(LogArgs),
}

impl Task {
    /// Parses the command line. If it is wrong, prints the error and exits.
    pub(crate) fn parse_or_exit() -> Task {
        // Each is a command of its own: the environment variables of another do not concern it.
        let word = env::args_os().nth(1).unwrap_or_default();
        let (mut command, parse) = match word.to_str() {
            Some("report") => (report_command(), Task::parse_report as Parse),
            Some("compare") => (compare_command(), Task::parse_compare as Parse),
            Some("sweep") => (sweep_command(), Task::parse_sweep as Parse),
            Some("log") => (log_command(), Task::parse_log as Parse),
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
        let args = ReportArgs::from_arg_matches(&matches)?;
        refuse_overwriting(&args.files, command, &matches)?;
        Ok(Task::Report(args))
    }

    fn parse_compare(command: &mut Command) -> Result<Task, Error> {
        let words: Vec<_> = env::args_os().skip(1).collect();
        let matches = variables::parse(command, &words)?.matches;
        let flags = CompareFlags::from_arg_matches(&matches)?;
        flags.checked(command, &matches).map(|args| Task::Compare(Box::new(args)))
    }

    fn parse_sweep(command: &mut Command) -> Result<Task, Error> {
        let words: Vec<_> = env::args_os().skip(1).collect();
        let Parsed { matches, warnings } = variables::parse(command, &words)?;
        let args = SweepArgs::from_arg_matches(&matches)?;
        print_warnings(&warnings, &args.load);
        let (args, target, rates) = args.checked(command, &matches)?;
        Ok(Task::Sweep(Box::new(args), target, rates))
    }

    fn parse_log(command: &mut Command) -> Result<Task, Error> {
        let words: Vec<_> = env::args_os().skip(1).collect();
        let matches = variables::parse(command, &words)?.matches;
        let args = LogArgs::from_arg_matches(&matches)?;
        refuse_overwriting(&args.files, command, &matches)?;
        Ok(Task::Log(args))
    }

    fn parse_load(command: &mut Command) -> Result<Task, Error> {
        let words: Vec<_> = env::args_os().collect();
        let Parsed { matches, warnings } = variables::parse(command, &words)?;
        let args = SingleArgs::from_arg_matches(&matches)?;
        if args.generate.is_asked_for() {
            return Ok(Task::Generate(args.generate, Box::new(command.clone())));
        }
        print_warnings(&warnings, &args.load);
        let is_check = args.check;
        let (load, exports, target) = args.checked(command, &matches)?;
        Ok(match is_check {
            true => Task::Check(Box::new(load), target),
            false => Task::Load(Box::new(load), exports, target),
        })
    }
}

fn print_warnings(warnings: &[String], args: &LoadArgs) {
    let warnings = warnings.iter().filter(|_| !args.is_quiet());
    warnings.for_each(|warning| print_error(&format!("warning: {warning}")));
}

/// The error of a first word that is like the name of a subcommand, and is not the server of a
/// load: that has a port, in the same word or in the next.
fn misspelled(command: &Command, word: &OsStr) -> Option<Error> {
    let is_port = |next: OsString| next.to_str().is_some_and(|it| it.parse::<u16>().is_ok());
    if word.to_string_lossy().contains(':') || env::args_os().nth(2).is_some_and(is_port) {
        return None;
    }
    let only = Command::new("client").no_binary_name(true).override_usage(single::USAGE);
    let only = only.disable_help_subcommand(true).subcommand_required(true);
    let only = only.subcommands(command.get_subcommands());
    let error = only.try_get_matches_from([word]).err()?;
    error.get(ContextKind::SuggestedSubcommand).is_some().then_some(error)
}

type Parse = fn(&mut Command) -> Result<Task, Error>;

fn load_command() -> Command {
    negative_numbers_are_values(env_in_long_help_only(SingleArgs::command()))
        .subcommand(report_command())
        .subcommand(compare_command())
        .subcommand(sweep_command())
        .subcommand(log_command())
}

fn sweep_command() -> Command {
    negative_numbers_are_values(env_in_long_help_only(SweepArgs::command()))
        .bin_name("client sweep")
}

fn report_command() -> Command {
    negative_numbers_are_values(env_in_long_help_only(ReportArgs::command()))
        .bin_name("client report")
}

fn compare_command() -> Command {
    negative_numbers_are_values(env_in_long_help_only(CompareFlags::command()))
        .bin_name("client compare")
        // Each is a figure that servers are compared by.
        .mut_arg("percentiles", |it| it.default_value("50,99,99.9"))
        .mut_arg("start_at", |it| it.hide(true))
}

fn log_command() -> Command {
    negative_numbers_are_values(env_in_long_help_only(LogArgs::command())).bin_name("client log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_help_has_one_line_per_flag() {
        let commands =
            [load_command(), report_command(), compare_command(), sweep_command(), log_command()];
        for command in commands {
            let help = command.term_width(100).render_help().to_string();
            let continued = help.lines().find(|line| line.starts_with(&" ".repeat(20)));
            assert_eq!(continued, None, "{help}");
        }
    }
}
