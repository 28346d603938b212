//! `client`: the load client that checks every byte.

mod axis;
mod chart;
mod cli;
mod condition;
mod cost;
mod distribution;
mod environment;
mod html;
mod page;
mod preflight;
mod progress;
mod report;
mod run;
mod series;
mod summary;
mod text;
mod timeline;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use cli::{Cli, Merge, Results, Task};
use reactor_server::load::Plan;
use reactor_server::program::limits::{connections_possible, raise_descriptor_limit};
use reactor_server::program::signals::Signals;
use report::Report;
use run::Run;

/// The exit code of a shell command that SIGINT has ended.
const INTERRUPTED: u8 = 130;
/// The exit code if a `--fail-if` came true.
const CAME_TRUE: u8 = 3;

fn main() -> ExitCode {
    let result = match Task::parse_or_exit() {
        Task::Run(cli) if cli.check => preflight::check(&cli),
        Task::Run(cli) => run(&cli),
        Task::Merge(merge) => merge_files(&merge),
    };
    result.unwrap_or_else(|error| {
        say(&format!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    // Before the work, so that its results are not lost for want of a place; and
    // before signals are blocked, because a named pipe has it wait for a reader.
    let mut output = open(cli.results.output.as_deref())?;
    let signals = Signals::block().context("cannot block signals")?;
    let wanted = cli.plan();
    let requested = wanted.connections as u64;
    let plan = within_limits(wanted, cli.is_quiet())?;
    let mut report = Run::start(cli, &plan, signals)?.finish()?;
    report.connections.requested = requested;
    // The results for people have them in them.
    if cli.results.json && !cli.is_quiet() {
        text::complaints(&report).iter().for_each(|complaint| say(complaint));
    }
    write(&mut output, &report, &cli.results)?;
    Ok(verdict(&report, &cli.results, cli.is_quiet()))
}

fn merge_files(merge: &Merge) -> anyhow::Result<ExitCode> {
    let mut merged: Option<Report> = None;
    for path in &merge.files {
        let report = read(path)?;
        merged = Some(match merged {
            None => report,
            Some(merged) => merged.merge(report).with_context(|| path.display().to_string())?,
        });
    }
    let report = merged.context("there is nothing to merge")?;
    // Only now, for one of them may be among the files; and both before anything is printed.
    let page = merge.html.as_deref().map(create).transpose()?;
    let mut output = open(merge.results.output.as_deref())?;
    write(&mut output, &report, &merge.results)?;
    if let Some(mut page) = page {
        let html = page::render(&report, &merge.results.percentiles);
        page.write_all(html.as_bytes()).context("cannot write the page")?;
    }
    Ok(verdict(&report, &merge.results, false))
}

fn read(path: &Path) -> anyhow::Result<Report> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text)
        .map_err(anyhow::Error::from)
        .and_then(Report::checked)
        .with_context(|| format!("{} has no results of client --json", path.display()))
}

fn open(path: Option<&Path>) -> anyhow::Result<Box<dyn Write>> {
    Ok(match path {
        None => Box::new(io::stdout()),
        Some(path) => Box::new(create(path)?),
    })
}

fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("cannot write to {}", path.display()))
}

fn write(output: &mut dyn Write, report: &Report, wanted: &Results) -> anyhow::Result<()> {
    let text = if wanted.json {
        format!("{:#}\n", report.to_json(&wanted.percentiles)?)
    } else {
        text::render(report, &wanted.percentiles)
    };
    put(output, &text)
}

fn put(output: &mut dyn Write, text: &str) -> anyhow::Result<()> {
    output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
        .context("cannot write the results")
}

/// Says which conditions came true, and what the program's exit code is.
fn verdict(report: &Report, wanted: &Results, quietly: bool) -> ExitCode {
    let came_true: Vec<_> =
        wanted.fail_if.iter().filter_map(|condition| condition.verdict(report)).collect();
    if !quietly {
        came_true.iter().for_each(|verdict| say(verdict));
    }
    match report {
        _ if report.interrupted => ExitCode::from(INTERRUPTED),
        _ if !report.is_clean() => ExitCode::FAILURE,
        _ if !came_true.is_empty() => ExitCode::from(CAME_TRUE),
        _ => ExitCode::SUCCESS,
    }
}

/// Lowers the number of connections to what there are descriptors for, and says so.
fn within_limits(mut plan: Plan, quietly: bool) -> anyhow::Result<Plan> {
    if let Err(error) = raise_descriptor_limit() {
        say(&format!("the limit of open descriptors stays as it is: {error}"));
    }
    let possible = connections_possible(plan.other_descriptors())?;
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

/// Says something beside the results. Whether anybody hears it is not our concern.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
