//! `client`: the load client that verifies every byte.

mod cli;
mod interrupts;
mod limit;
mod local;
mod memory;
mod meter;
mod output;
mod page;
mod preflight;
mod progress;
mod report;
mod resolve;
mod run;
mod window;

use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use cli::{LoadArgs, ReportArgs, ResultArgs, Task};
use interrupts::{INTERRUPTED, Interrupts};
use limit::within_limits;
use output::Output;
use reactor_server::load::option_warnings;
use reactor_server::program::cause::with_limits;
use reactor_server::program::printable::printable;
use reactor_server::program::signals::{Signals, survive_file_size_limit};
use reactor_server::program::stream::{Stream, print_error};
use reactor_server::program::target::Target;
use report::{Report, text};
use resolve::plan_for_answering;
use run::Run;
use serde_json::Value;

/// The exit code if a `--fail-if` condition was met.
const CONDITION_MET: u8 = 3;

fn main() -> ExitCode {
    survive_file_size_limit();
    let result = match Task::parse_or_exit() {
        Task::Load(args, target) if args.check => preflight::check(&args, &target),
        Task::Load(args, target) => load(&args, &target),
        Task::Report(args) => report(&args),
    };
    result.unwrap_or_else(|error| {
        print_error(&format!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

/// `client TARGET`: runs a load.
fn load(args: &LoadArgs, target: &Target) -> anyhow::Result<ExitCode> {
    // Before signals are blocked, because it may have to wait for the network.
    let wanted = plan_for_answering(args, target)?;
    // After that, because it empties the file, and a name may be misspelled. Before the load, so
    // that its results are not lost if this fails; and before signals are blocked, because a named
    // pipe has it wait for a reader.
    let mut output = Output::open(args.results.output.as_deref())?;
    let signals = Signals::block().context("cannot block signals")?;
    let requested = wanted.connections as u64;
    let plan = within_limits(wanted, args.is_quiet())?;
    if !args.is_quiet() {
        option_warnings(&plan).iter().for_each(|warning| print_error(warning));
    }
    let mut interrupts = Interrupts::handle(signals).map_err(with_limits)?;
    let mut report = Run::start(args, &plan, "", &mut interrupts)?.finish()?;
    report.connections.requested = requested;
    // Results as text include the errors.
    if args.results.json && !args.is_quiet() {
        text::errors(&report).iter().for_each(|error| print_error(error));
    }
    write(&mut output, &report, &args.results)?;
    Ok(conclude(&report, &args.results, args.is_quiet()))
}

/// `client report`: merges results.
fn report(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let mut merged: Option<Report> = None;
    for path in &args.files {
        let report = read(path)?;
        merged = Some(match merged {
            None => report,
            Some(merged) => merged.merge(report).with_context(|| path.display().to_string())?,
        });
    }
    let report = merged.context("there is nothing to merge")?;
    // After reading, because an output may be one of the files; and both before anything is
    // printed.
    let page = args.html.as_deref().map(output::create).transpose()?;
    let mut output = Output::open(args.results.output.as_deref())?;
    write(&mut output, &report, &args.results)?;
    if let Some(mut page) = page {
        let html = page::render(&report, &args.results.percentiles);
        page.write_all(html.as_bytes()).context("cannot write the page")?;
    }
    Ok(conclude(&report, &args.results, false))
}

/// Results are up to a megabyte, so that what is longer, and perhaps never ends, is something else.
const LONGEST: u64 = 256 * 1024 * 1024;

fn read(path: &Path) -> anyhow::Result<Report> {
    let mut text = Vec::new();
    let length = Stream::open(path)
        .and_then(|file| file.take(LONGEST + 1).read_to_end(&mut text))
        .with_context(|| format!("cannot read {}", path.display()))?;
    if length as u64 > LONGEST {
        anyhow::bail!("{} is too long for results of client --json", path.display());
    }
    serde_json::from_slice(&text)
        .map_err(anyhow::Error::from)
        .and_then(Report::checked)
        .with_context(|| format!("{} has no results of client --json", path.display()))
}

fn write(output: &mut Output<'_>, report: &Report, args: &ResultArgs) -> anyhow::Result<()> {
    let text = if args.json {
        json_text(&report.to_json(&args.percentiles)?)
    } else {
        text::render(report, &args.percentiles)
    };
    output.write_results(&text)
}

/// JSON of which every line can be shown on a terminal.
fn json_text(json: &Value) -> String {
    format!("{json:#}").lines().map(|line| printable(line) + "\n").collect()
}

/// Prints what is wrong with the results, and returns the exit code.
fn conclude(report: &Report, args: &ResultArgs, is_quiet: bool) -> ExitCode {
    let met: Vec<_> = args.fail_if.iter().filter_map(|it| it.met_by(report)).collect();
    if !is_quiet {
        if report.is_empty() && !report.interrupted {
            print_error(&format!("error: {}", text::no_reply(report)));
        }
        met.iter().for_each(|condition| print_error(condition));
    }
    match report {
        _ if report.interrupted => ExitCode::from(INTERRUPTED),
        _ if !report.is_clean() || report.is_empty() => ExitCode::FAILURE,
        _ if !met.is_empty() => ExitCode::from(CONDITION_MET),
        _ => ExitCode::SUCCESS,
    }
}
