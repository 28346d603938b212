//! `client`: the load client that verifies every byte.

mod admin_page;
mod cli;
mod compare;
mod compressed;
mod curve;
mod exit;
mod exports;
mod interrupts;
mod limit;
mod local;
mod meter;
mod output;
mod page;
mod preflight;
mod progress;
mod readable;
mod report;
mod resolve;
mod run;
mod server_log;
mod sweep;
mod terminal;
mod window;

use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use cli::{
    CompareArgs, ExportArgs, LoadArgs, NamedFiles, NamedServer, ReportArgs, ResultArgs, Subjects,
    Task,
};
use compare::{Comparison, Contender, Contest, Ending};
use exports::{Exports, RESULTS, SameOutput, refuse_same};
use interrupts::Interrupts;
use limit::within_limits;
use meter::{CostSource, Meter};
use output::{Output, json_text};
use reactor_server::program::cause::with_limits;
use reactor_server::program::signals::{Signals, survive_file_size_limit};
use reactor_server::program::stream::{Stream, print_error};
use reactor_server::program::target::Target;
use report::{Report, text};
use resolve::plan_for_answering;
use run::Run;
use serde_json::Value;
use sweep::sweep;

/// The exit code for wrong usage, which is clap's.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    survive_file_size_limit();
    let result = match Task::parse_or_exit() {
        Task::Load(args, exports, target) => load(&args, &exports, &target),
        Task::Generate(args, command) => match args.run(*command) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => Err(anyhow!(error)),
        },
        Task::Check(args, target) => preflight::check(&args, &target),
        Task::Report(args) => report(&args),
        Task::Compare(args) => compare(&args),
        Task::Sweep(args, target, rates) => sweep(&args, &target, &rates),
        Task::Log(args) => server_log::run(&args),
    };
    result.unwrap_or_else(|error| {
        print_error(&format!("error: {error:#}"));
        if error.is::<SameOutput>() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
    })
}

/// `client TARGET`: runs a load.
fn load(args: &LoadArgs, exports: &ExportArgs, target: &Target) -> anyhow::Result<ExitCode> {
    // Before signals are blocked, because it may have to wait for the network.
    let wanted = plan_for_answering(args, target)?;
    // After that, because it empties the file, and a name may be misspelled. Before the load, so
    // that its results are not lost if this fails; and before signals are blocked, because a named
    // pipe has it wait for a reader.
    let mut output = Output::open(args.results.output.as_deref())?;
    let mut exports = Exports::open(exports, &[(RESULTS, output.stream())])?;
    let signals = Signals::block().context("cannot block signals")?;
    let requested = wanted.connections as u64;
    let plan = within_limits(wanted, args.is_quiet())?;
    let mut interrupts = Interrupts::handle(signals).map_err(with_limits)?;
    let mut report = Run::start(args, &plan, "", &mut interrupts)?.finish()?;
    report.connections.requested = requested;
    // Results as text include the errors.
    if args.results.json && !args.is_quiet() {
        text::errors(&report).iter().for_each(|error| print_error(error));
    }
    let are_exported = exports.write(&report, &args.results.percentiles);
    write(&mut output, &report, &args.results)?;
    let code = conclude(&report, &args.results, args.is_quiet());
    Ok(if are_exported { code } else { ExitCode::FAILURE })
}

/// `client report`: merges results.
fn report(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let mut merged: Option<Report> = None;
    for path in &args.files {
        let report = read(path, "client report -")?;
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
    let others = page.iter().map(|page| ("--html", page)).chain([(RESULTS, output.stream())]);
    let mut exports = Exports::open(&args.exports, &others.collect::<Vec<_>>())?;
    let are_exported = exports.write(&report, &args.results.percentiles);
    write(&mut output, &report, &args.results)?;
    if let Some(mut page) = page {
        let html = page::render(&report, &args.results.percentiles);
        page.write_all(html.as_bytes()).context("cannot write the page")?;
    }
    let code = conclude(&report, &args.results, false);
    Ok(if are_exported { code } else { ExitCode::FAILURE })
}

/// `client compare`: compares servers, or results of servers.
fn compare(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let (results, is_quiet) = (&args.load.results, args.load.is_quiet());
    // As for a load and a report: what may fail or wait comes before the outputs are opened, and
    // they are opened before signals are blocked.
    let (plans, read) = match &args.subjects {
        Subjects::Servers(servers) => {
            servers.iter().try_for_each(check_source)?;
            let plans = servers.iter().map(|it| plan_for_answering(&args.load, &it.target));
            (plans.collect::<anyhow::Result<Vec<_>>>()?, Vec::new())
        }
        Subjects::Files(files) => {
            (Vec::new(), files.iter().map(read_runs).collect::<Result<_, _>>()?)
        }
    };
    let page = args.html.as_deref().map(output::create).transpose()?;
    let mut output = Output::open(results.output.as_deref())?;
    let outputs = page.iter().map(|page| ("--html", page)).chain([(RESULTS, output.stream())]);
    refuse_same(&outputs.collect::<Vec<_>>())?;
    let contest = match &args.subjects {
        Subjects::Servers(servers) => Contest::run(args, servers, plans)?,
        Subjects::Files(_) => Contest::of_results(read),
    };
    let comparison = Comparison::new(contest, &results.percentiles);
    match results.json {
        true => output.write_results(&json_text(&comparison.to_json(&results.percentiles)?)),
        false => output.write_text(&compare::text::render(&comparison)),
    }?;
    if let Some(mut page) = page {
        let html = page::render_comparison(&comparison, &results.percentiles);
        page.write_all(html.as_bytes()).context("cannot write the page")?;
    }
    let met: Vec<_> = results.fail_if.iter().flat_map(|it| comparison.met(it)).collect();
    if !is_quiet {
        // Results as text include the failures.
        let failures = comparison.failures().iter().filter(|_| results.json);
        failures.for_each(|it| print_error(&format!("error: {it}")));
        met.iter().for_each(|it| print_error(it));
    }
    let has_failed = matches!(comparison.ending, Ending::Failed(_));
    Ok(exit::code(comparison.ending == Ending::Interrupted, has_failed, !met.is_empty()))
}

/// Checks that the cost of a server can be read, so that a wrong number is no failure of its first
/// run.
fn check_source(server: &NamedServer) -> anyhow::Result<()> {
    let Some(source) = &server.source else { return Ok(()) };
    Meter::of(source).map(drop).with_context(|| match source {
        CostSource::Process(pid) => format!("--server-pid {}={pid}", server.name),
        CostSource::Page(page) => format!("--server {}={}", server.name, page.url()),
    })
}

/// Reads the results of the runs of a server.
fn read_runs(files: &NamedFiles) -> anyhow::Result<Contender> {
    let command = format!("client compare {}=- ...", files.name);
    let runs = files.paths.iter().map(|path| read(path, &command));
    let runs = runs.collect::<anyhow::Result<_>>()?;
    Contender::of_results(files.name.clone(), runs)
}

/// Results are up to a megabyte, so that what is longer, and perhaps never ends, is something else.
const LONGEST: u64 = 256 * 1024 * 1024;

/// Reads results. The command is one that reads them from standard input.
fn read(path: &Path, command: &str) -> anyhow::Result<Report> {
    let mut text = Vec::new();
    let length = Stream::open(path)
        .and_then(|file| file.take(LONGEST + 1).read_to_end(&mut text))
        .with_context(|| format!("cannot read {}", path.display()))?;
    if length as u64 > LONGEST {
        anyhow::bail!("{} is too long for results of client --json", path.display());
    }
    compressed::refuse(path, &text, command)?;
    serde_json::from_slice(&text)
        .map_err(anyhow::Error::from)
        .and_then(Report::checked)
        .with_context(|| format!("{} has no results of client --json", path.display()))
}

fn write(output: &mut Output<'_>, report: &Report, args: &ResultArgs) -> anyhow::Result<()> {
    if !args.json {
        return output.write_text(&text::render(report, &args.percentiles));
    }
    let mut json = report.to_json(&args.percentiles)?;
    if output.is_terminal() {
        leave_out_histograms(&mut json);
    }
    output.write_results(&json_text(&json))
}

/// Leaves out what nobody can read on a terminal.
fn leave_out_histograms(json: &mut Value) {
    match json {
        Value::Array(values) => values.iter_mut().for_each(leave_out_histograms),
        Value::Object(fields) => {
            fields.retain(|key, _| !key.contains("histogram"));
            fields.values_mut().for_each(leave_out_histograms);
        }
        _ => {}
    }
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
    let has_failed = !report.is_clean() || report.is_empty();
    exit::code(report.interrupted, has_failed, !met.is_empty())
}
