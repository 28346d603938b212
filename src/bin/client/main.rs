//! `client`: the load client that checks every byte.

mod cli;
mod progress;
mod report;

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use cli::Cli;
use progress::Progress;
use reactor_server::load::{Load, Outcome, Plan, Stopper};
use reactor_server::program::signals::Signals;
use reactor_server::{connections_possible, raise_descriptor_limit};

/// The exit code of a shell command that SIGINT has ended.
const INTERRUPTED: u8 = 130;
/// How often the progress bar is drawn.
const FRAME: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let cli = Cli::parse_or_exit();
    match run(&cli) {
        Ok(outcome) if outcome.interrupted => ExitCode::from(INTERRUPTED),
        Ok(outcome) if outcome.is_clean() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<Outcome> {
    // Before the work, so that its results are not lost for want of a place; and
    // before signals are blocked, because a named pipe has it wait for a reader.
    let mut output = open(cli.output.as_deref())?;
    let signals = Signals::block().context("cannot block signals")?;
    let wanted = cli.plan();
    let requested = wanted.connections as u64;
    let plan = within_limits(wanted, cli.is_quiet())?;
    let mut load = Load::start(&plan).context("cannot start the load")?;
    stop_on_signal(signals, load.stopper()).context("cannot start a thread")?;
    let progress = Progress::new(&plan, cli.wants_progress());
    let mut outcome = loop {
        match load.wait(FRAME)? {
            Some(outcome) => break outcome,
            None => progress.draw(load.progress()),
        }
    };
    progress.clear();
    outcome.connections.requested = requested;
    if !cli.is_quiet() {
        let complain = |(complaint, times)| say(&format!("{times} x {complaint}"));
        outcome.complaints.iter().for_each(complain);
    }
    output
        .write_all(report::render(cli, &plan, &outcome)?.as_bytes())
        .and_then(|()| output.flush())
        .context("cannot write the results")?;
    Ok(outcome)
}

fn open(path: Option<&Path>) -> anyhow::Result<Box<dyn Write>> {
    Ok(match path {
        None => Box::new(io::stdout()),
        Some(path) => Box::new(
            File::create(path).with_context(|| format!("cannot write to {}", path.display()))?,
        ),
    })
}

/// Lowers the number of connections to what there are descriptors for, and says so.
fn within_limits(mut plan: Plan, quietly: bool) -> anyhow::Result<Plan> {
    if let Err(error) = raise_descriptor_limit() {
        say(&format!("the limit of open descriptors stays as it is: {error}"));
    }
    let possible = connections_possible(2 * plan.threads)?;
    if possible == 0 {
        anyhow::bail!("the limit of open descriptors (ulimit -n) is too low to connect at all");
    }
    if plan.connections > possible && !quietly {
        say(&format!(
            "the limit of open descriptors (ulimit -n) allows {possible} connections, not {}: \
             going on with that",
            plan.connections
        ));
    }
    plan.connections = plan.connections.min(possible);
    plan.threads = plan.threads.min(plan.connections);
    Ok(plan)
}

/// The first signal ends the load, whose report is still printed. A second one ends
/// the program, should the report find no reader.
fn stop_on_signal(signals: Signals, load: Stopper) -> io::Result<()> {
    let obey = move || {
        if signals.wait().is_ok() {
            load.stop();
        }
        if signals.wait().is_ok() {
            std::process::exit(INTERRUPTED.into());
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(obey).map(drop)
}

/// Says something beside the results. Whether anybody hears it is not our concern.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
