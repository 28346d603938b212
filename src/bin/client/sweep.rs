//! `client sweep`: loads at several rates, one after another.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use reactor_server::load::Plan;
use reactor_server::program::cause::with_limits;
use reactor_server::program::signals::Signals;
use reactor_server::program::stream::print_error;
use reactor_server::program::target::Target;

use crate::cli::{RateChoice, SweepArgs};
use crate::curve::{Curve, Next, RateStep, csv, ends_with, next, text};
use crate::exit;
use crate::exports::{RESULTS, refuse_same};
use crate::interrupts::Interrupts;
use crate::limit::within_limits;
use crate::output::{self, Output};
use crate::page;
use crate::readable;
use crate::resolve::plan_for_answering;
use crate::run::Run;

/// The part of the warm-up that a rest between two steps lasts, in which the server closes
/// connections and returns to normal.
const REST: u32 = 5;

/// `client sweep TARGET`: runs a load at several rates.
pub(crate) fn sweep(
    args: &SweepArgs,
    target: &Target,
    rates: &RateChoice,
) -> anyhow::Result<ExitCode> {
    let (results, is_quiet) = (&args.load.results, args.load.is_quiet());
    let wanted = plan_for_answering(&args.load, target)?;
    // As for a single load: before the first step, and before signals are blocked.
    let mut output = Output::open(results.output.as_deref())?;
    let table = args.csv.as_deref().map(output::create).transpose()?;
    let page = args.html.as_deref().map(output::create).transpose()?;
    let files = table.iter().map(|table| ("--csv", table));
    let files = files.chain(page.iter().map(|page| ("--html", page)));
    refuse_same(&files.chain([(RESULTS, output.stream())]).collect::<Vec<_>>())?;
    let signals = Signals::block().context("cannot block signals")?;
    let requested = wanted.connections as u64;
    let plan = within_limits(wanted, is_quiet)?;
    let mut interrupts = Interrupts::handle(signals).map_err(with_limits)?;
    let curve = run(args, &plan, requested, rates, &mut interrupts)?;
    // Also if it is quiet: they say why the exit code is 1. Results as text include them.
    if results.json {
        text::errors(&curve).iter().for_each(|error| print_error(error));
    }
    output.write_results(&match results.json {
        true => output::json_text(&curve.to_json(&results.percentiles)?),
        false => text::render(&curve, &results.percentiles),
    })?;
    if let Some(mut table) = table {
        let csv = csv(&curve, &results.percentiles)?;
        table.write_all(csv.as_bytes()).context("cannot write the CSV")?;
    }
    if let Some(mut page) = page {
        let html = page::render_curve(&curve, &results.percentiles);
        page.write_all(html.as_bytes()).context("cannot write the page")?;
    }
    Ok(conclude(&curve, args))
}

/// Runs the steps until there is no other rate, a signal ends the sweep, or the server is gone.
/// More connections may have been requested than the plan has.
fn run(
    args: &SweepArgs,
    plan: &Plan,
    requested: u64,
    rates: &RateChoice,
    interrupts: &mut Interrupts,
) -> anyhow::Result<Curve> {
    let (args, limit) = (&args.load, rates.limit());
    let mut steps: Vec<RateStep> = Vec::new();
    let mut next = next_rate(rates, &steps);
    loop {
        let rate = next.context("a sweep has a first rate")?;
        let title = format!("step {}, {} per second", steps.len() + 1, readable::count(rate));
        let plan = Plan { rate: Some(rate), ..plan.clone() };
        let mut last = Run::start(args, &plan, &title, interrupts)?.finish()?;
        last.connections.requested = requested;
        if !last.interrupted {
            let step = RateStep::new(rate, last.clone(), limit);
            if args.wants_lines() {
                print_error(&format!("{title}: {}", text::ending(&step, limit)));
            }
            steps.push(step);
        }
        next = next_rate(rates, &steps);
        let is_over = next.is_none() || ends_with(&last, limit.is_some());
        if !is_over {
            interrupts.rest(plan.warmup / REST);
        }
        if is_over || interrupts.have_ended() {
            return Ok(Curve::new(limit, steps, last, interrupts.have_ended()));
        }
    }
}

/// The rate of the next step, if there is one.
fn next_rate(rates: &RateChoice, steps: &[RateStep]) -> Option<u64> {
    match rates {
        RateChoice::List(rates) => rates.get(steps.len()).copied(),
        RateChoice::Search(_) => match next(&Curve::tries(steps)) {
            Next::Try(rate) => Some(rate),
            Next::End(_) => None,
        },
    }
}

/// Prints what is wrong with the results, and returns the exit code.
fn conclude(curve: &Curve, args: &SweepArgs) -> ExitCode {
    let (conditions, is_quiet) = (&args.load.results.fail_if, args.load.is_quiet());
    let met = curve.results().flat_map(|step| {
        let met = conditions.iter().filter_map(|condition| condition.met_by(&step.report));
        met.map(|condition| format!("at {} per second: {condition}", readable::count(step.rate)))
    });
    let met: Vec<_> = met.collect();
    curve.failure().iter().for_each(|failure| print_error(&format!("error: {failure}")));
    if !is_quiet {
        met.iter().for_each(|condition| print_error(condition));
    }
    let has_failed = !curve.is_clean() || curve.failure().is_some();
    exit::code(curve.interrupted, has_failed, !met.is_empty())
}
