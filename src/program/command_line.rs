//! What the command lines of both programs have in common: help, values, and how they end.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::process::exit;

use clap::{Command, Error};

use crate::program::stream::{Stream, print_error};

/// Has `-h` print one line per flag: only `--help` names the environment variables.
pub fn env_in_long_help_only(command: Command) -> Command {
    command.mut_args(|arg| {
        let Some(variable) = arg.get_env().map(|name| name.to_string_lossy().into_owned()) else {
            return arg;
        };
        let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string);
        arg.hide_env(true).long_help(format!("{}\n\n[env: {variable}]", help.unwrap_or_default()))
    })
}

/// Has a value such as `-1` reach the parser of its flag, whose error names the flag. By default
/// `-1` is an unknown flag.
pub fn negative_numbers_are_values(command: Command) -> Command {
    command.mut_args(|arg| {
        let takes_values = arg.get_action().takes_values();
        arg.allow_negative_numbers(takes_values)
    })
}

/// Prints the help, the version or the usage error that parsing a command line has ended with,
/// and exits. Help that cannot be written whole is an error.
pub fn print_and_exit(error: &Error) -> ! {
    let is_error = error.use_stderr();
    let (stream, is_terminal) = match is_error {
        true => (Stream::stderr(), io::stderr().is_terminal()),
        false => (Stream::stdout(), io::stdout().is_terminal()),
    };
    let text = error.render();
    let text =
        if is_terminal && allows_styles() { text.ansi().to_string() } else { text.to_string() };
    match stream.and_then(|mut stream| stream.write_all(text.as_bytes())) {
        Err(failure) if !is_error => {
            print_error(&format!("error: cannot write to standard output: {failure}"));
            exit(1)
        }
        _ => exit(error.exit_code()),
    }
}

/// Returns whether text on a terminal may have colours: `NO_COLOR` is not set, and the terminal is
/// not a dumb one.
pub fn allows_styles() -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && env::var_os("TERM").is_some_and(|terminal| terminal != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    #[test]
    fn the_error_of_a_negative_number_names_its_flag() {
        let flag = Arg::new("flag").long("flag").value_parser(clap::value_parser!(u16));
        let command = negative_numbers_are_values(Command::new("program").arg(flag));
        let error = command.try_get_matches_from(["program", "--flag", "-1"]).expect_err("it");
        assert!(error.to_string().contains("invalid value '-1' for '--flag <flag>'"), "{error}");
    }

    #[test]
    fn only_the_long_help_names_the_variables() {
        let flag = Arg::new("flag").long("flag").env("A_VARIABLE").help("Sets the flag");
        let mut command = env_in_long_help_only(Command::new("program").arg(flag));
        let (short, long) = (command.render_help(), command.render_long_help());
        assert!(short.to_string().contains("--flag <flag>  Sets the flag\n"), "{short}");
        assert!(long.to_string().contains("Sets the flag\n"), "{long}");
        assert!(long.to_string().contains("[env: A_VARIABLE]\n"), "{long}");
    }
}
