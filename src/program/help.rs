//! Help texts of the command lines.

use clap::Command;

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
