//! Help texts of the command lines.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::process::exit;

use clap::{Command, Error};

use super::stream::{Stream, print_error};

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

fn allows_styles() -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && env::var_os("TERM").is_some_and(|terminal| terminal != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

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
