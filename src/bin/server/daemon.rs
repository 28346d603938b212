//! `--daemon`: the server as a process of its own, without a terminal.
//!
//! The program starts itself again instead of forking, so that no thread can be lost. The parent
//! waits until the child is ready, passes on what it printed, and has its exit code. What the child
//! writes to standard error until then reaches the terminal.

use std::env;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::process::parent_id;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, ensure};
use reactor_server::program::stream::print_error;
use rustix::stdio::{dup2_stderr, dup2_stdout};

use crate::cli::Cli;
use crate::service;

/// The exit code for wrong usage, which is clap's.
const USAGE: u8 = 2;
/// Names the parent to the child.
const PARENT: &str = "REACTOR_SERVER_PARENT";
/// The last line that a child prints to its parent.
const READY: &str = "ready\n";

/// Returns whether this process is the child that stays.
pub(crate) fn is_child() -> bool {
    env::var_os(PARENT).is_some()
}

/// Starts the child with the same words, and returns its exit code: success once it is ready.
///
/// # Errors
/// It cannot be started.
pub(crate) fn start(cli: &Cli) -> anyhow::Result<ExitCode> {
    if service::is_passed_a_socket() {
        print_error("error: a socket was passed to this process, and --daemon starts another one");
        return Ok(ExitCode::from(USAGE));
    }
    if !cli.has_log_file() {
        print_error("warning: the log is lost: a daemon needs --log-file");
    }
    let program = env::current_exe().context("cannot find this program to start it again")?;
    let mut command = Command::new(program);
    command.args(env::args_os().skip(1)).env(PARENT, std::process::id().to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let child = command.spawn().context("cannot start in the background")?;
    supervise(child).context("cannot wait for the server in the background")
}

fn supervise(mut child: Child) -> io::Result<ExitCode> {
    let mut output = String::new();
    // The child closes it when it is ready.
    child.stdout.take().map(|mut pipe| pipe.read_to_string(&mut output)).transpose()?;
    if let Some(output) = output.strip_suffix(READY) {
        // The server runs even if its address cannot be printed.
        if let Err(error) = io::stdout().write_all(output.as_bytes()) {
            print_error(&format!("warning: cannot write to standard output: {error}"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let code = child.wait()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Leaves the terminal, whose signals no longer reach this process then.
///
/// # Errors
/// The parent is gone: the start of the server was given up.
pub(crate) fn leave_terminal() -> anyhow::Result<()> {
    let has_parent = env::var(PARENT).is_ok_and(|parent| parent == parent_id().to_string());
    ensure!(has_parent, "the process that started this one has ended");
    rustix::process::setsid().map(drop).context("cannot leave the terminal")
}

/// Tells the parent that the server is ready, and lets go of it.
///
/// # Errors
/// The parent is gone: the start of the server was given up.
pub(crate) fn report_ready() -> anyhow::Result<()> {
    io::stdout()
        .write_all(READY.as_bytes())
        .and_then(|()| io::stdout().flush())
        .context("the process that started this one has ended")?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null");
    let null = null.context("cannot open /dev/null")?;
    dup2_stdout(&null).and_then(|()| dup2_stderr(&null)).context("cannot leave the terminal")
}
