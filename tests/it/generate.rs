//! The files that packages need: completions for shells, and manual pages.

use std::process::{Command, Output};

use crate::support::client::CLIENT;
use crate::support::server::SERVER;
use crate::support::temporary;

fn run(program: &str, flags: &[&str]) -> Output {
    Command::new(program).args(flags).output().expect("it runs")
}

#[test]
fn completions_have_every_long_flag_of_the_help() {
    for program in [SERVER, CLIENT] {
        let help = String::from_utf8(run(program, &["--help"]).stdout).expect("text");
        let flags: Vec<_> = help.lines().filter_map(flag_of).collect();
        assert!(flags.len() > 15, "{help}");
        for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
            let output = run(program, &["--completions", shell]);
            let script = String::from_utf8(output.stdout).expect("text");
            assert_eq!(output.status.code(), Some(0));
            for flag in &flags {
                assert!(script.contains(flag), "{program} {shell}: {flag}");
            }
        }
    }
}

/// The long flag that a line of the help begins with, if it does.
fn flag_of(line: &str) -> Option<&str> {
    let words = line.trim_start();
    let long = words.strip_prefix("--").or_else(|| words.split_once(", --").map(|it| it.1))?;
    words.starts_with('-').then(|| long.split([' ', '=']).next())?
}

#[test]
fn manual_pages_are_as_mandoc_wants_them() {
    let folder = temporary("man-pages").display().to_string();
    for program in [SERVER, CLIENT] {
        assert_eq!(run(program, &["--man-pages", &folder]).status.code(), Some(0));
    }
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .expect("a folder")
        .map(|page| page.expect("a page").file_name().into_string().expect("text"))
        .collect();
    names.sort_unstable();
    let expected = ["client-compare.1", "client-log.1", "client-report.1", "client-sweep.1"];
    assert_eq!(names, [&expected[..], &["client.1", "server.1"]].concat());
    for name in names {
        let page = format!("{folder}/{name}");
        let text = std::fs::read_to_string(&page).expect("a page");
        assert!(text.contains(".SH SYNOPSIS\n"), "{text}");
        let (_, examples) = text.split_once("\n.SH EXAMPLES\n").expect("examples");
        // A line of its own for each command.
        assert!(examples.lines().any(|line| line.starts_with("    ")), "{examples}");
        match Command::new("mandoc").args(["-T", "lint", &page]).output() {
            Ok(lint) => assert_eq!(String::from_utf8_lossy(&lint.stdout), ""),
            Err(_) => println!("skipped: mandoc is not installed"),
        }
    }
}

#[test]
fn what_cannot_be_written_is_one_clear_error() {
    for (flags, error) in [
        (["--completions", "bash"], "error: cannot write to standard output: No space left"),
        (["--man-pages", "/proc/none"], "error: cannot write to /proc/none: "),
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
        let output = Command::new(SERVER).args(flags).stdout(full).output().expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.starts_with(error) && output.status.code() == Some(1), "{stderr}");
    }
}
