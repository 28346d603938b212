//! Values of flags from environment variables, and errors that name the variable.

use std::env;
use std::ffi::OsString;
use std::mem;

use clap::builder::Resettable;
use clap::error::{Error, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, Id};

/// A command line with the values from environment variables.
#[derive(Debug)]
pub struct Parsed {
    /// What clap made of it.
    pub matches: ArgMatches,
    /// What the user should know of variables that are ignored.
    pub warnings: Vec<String>,
}

/// An environment variable that is set, and the argument that it is for.
struct Variable {
    argument: Id,
    name: OsString,
    value: OsString,
}

/// Parses the words of a command line. A flag overrides its variable, a variable overrides the
/// default, and an empty variable is one that is not set: compose files write
/// `SERVER_WORKERS=`.
///
/// # Errors
/// The command line or a variable is wrong. The error says which.
pub fn parse(command: &mut Command, words: &[OsString]) -> Result<Parsed, Error> {
    let variables: Vec<_> = command.get_arguments().filter_map(Variable::of).collect();
    let (variables, unused): (Vec<_>, Vec<_>) = variables.into_iter().partition(Variable::is_used);
    *command = unused.iter().fold(mem::take(command), without);
    let original = command.clone();
    let matches = command.try_get_matches_from_mut(words).map_err(|error| {
        // The error is a variable's if it goes or changes with that variable.
        let is_cause = |variable: &&Variable| {
            let result = without(original.clone(), variable).try_get_matches_from(words);
            result.map_or_else(|other| other.to_string() != error.to_string(), |_| true)
        };
        match variables.iter().find(is_cause).filter(|_| error.use_stderr()) {
            Some(variable) => variable.error(command, &error),
            None => error,
        }
    })?;
    let unused = unused.iter().filter(|it| !is_given(&matches, it.argument.as_str()));
    let warnings = unused.filter_map(Variable::warning).collect();
    Ok(Parsed { matches, warnings })
}

/// Returns whether an argument has its value from the command line.
pub fn is_given(matches: &ArgMatches, argument: &str) -> bool {
    matches.value_source(argument) == Some(ValueSource::CommandLine)
}

/// Returns whether an argument has its value from an environment variable.
fn is_from_variable(matches: &ArgMatches, argument: &str) -> bool {
    matches.value_source(argument) == Some(ValueSource::EnvVariable)
}

/// A usage error. It names the variables that flags in its text have their values from.
pub fn error(command: &mut Command, matches: &ArgMatches, kind: ErrorKind, text: &str) -> Error {
    let is_named = |arg: &&Arg| {
        let words = arg.to_string();
        let word = words.split(' ').next().unwrap_or_default();
        text.contains(word) && is_from_variable(matches, arg.get_id().as_str())
    };
    let named = command.get_arguments().filter(is_named).filter_map(Variable::of);
    let settings: Vec<_> = named.map(|it| it.setting()).collect();
    match &settings[..] {
        [] => command.error(kind, text),
        all => command.error(kind, format!("{text} ({} in the environment)", all.join(" and "))),
    }
}

impl Variable {
    fn of(arg: &Arg) -> Option<Variable> {
        let name = arg.get_env()?.to_owned();
        Some(Variable { argument: arg.get_id().clone(), value: env::var_os(&name)?, name })
    }

    fn is_used(&self) -> bool {
        !self.value.is_empty() && !self.is_service_link()
    }

    /// Returns whether Kubernetes may have set it: with a service called `server`, each pod of
    /// the namespace gets `SERVER_PORT=tcp://10.0.0.1:9009`. (Its other names, such as
    /// `SERVER_SERVICE_PORT` and `SERVER_PORT_9009_TCP`, are no flag's.)
    fn is_service_link(&self) -> bool {
        self.argument == "port" && self.value.to_string_lossy().contains("://")
    }

    fn warning(&self) -> Option<String> {
        self.is_service_link().then(|| {
            format!(
                "{} is ignored: it is no port, but what Kubernetes sets for a service of that name",
                self.setting()
            )
        })
    }

    /// `NAME="value"`, with what is no text as escapes.
    fn setting(&self) -> String {
        format!("{}={:?}", self.name.display(), self.value)
    }

    /// The error that its value has caused.
    fn error(&self, command: &mut Command, error: &Error) -> Error {
        let text = error.to_string();
        let text = text.trim_start_matches("error: ");
        let end = ["\n\nUsage:", "\n\nFor more information"].iter().filter_map(|it| text.find(it));
        let text = &text[..end.min().unwrap_or(text.len())];
        let text = format!("{} in the environment: {}", self.setting(), text.trim_end());
        command.error(ErrorKind::ValueValidation, text)
    }
}

/// The command without the variable of one argument.
fn without(command: Command, variable: &Variable) -> Command {
    command.mut_args(|arg| match *arg.get_id() == variable.argument {
        true => arg.env(Resettable::<clap::builder::OsStr>::Reset),
        false => arg,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::value_parser;

    /// A command with two numbers whose variable every process has, and it is no number.
    fn command() -> Command {
        let number = |id: &'static str| Arg::new(id).long(id).env("PATH");
        let number = |id| number(id).value_parser(value_parser!(u16));
        Command::new("program").arg(number("first")).arg(number("other"))
    }

    fn parsed(words: &[&str]) -> Result<Parsed, Error> {
        let words: Vec<_> = ["program"].iter().chain(words).map(OsString::from).collect();
        parse(&mut command(), &words)
    }

    #[test]
    fn an_error_names_the_variable_that_causes_it() {
        for (words, flag) in [(&[][..], "--first"), (&["--first", "1"], "--other")] {
            let error = parsed(words).expect_err("a path is no number").to_string();
            assert!(error.starts_with("error: PATH=\""), "{error}");
            assert!(error.contains(&format!("for '{flag} <")), "{error}");
            assert!(error.contains(">': invalid digit"), "{error}");
        }
        assert!(parsed(&["--first", "1", "--other", "2"]).is_ok());
    }

    #[test]
    fn an_error_of_the_command_line_names_no_variable() {
        let error = parsed(&["--first", "one"]).expect_err("a wrong word").to_string();
        assert!(error.starts_with("error: invalid value 'one' for '--first"), "{error}");
    }
}
