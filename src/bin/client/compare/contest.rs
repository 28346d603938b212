//! The runs of a comparison: the same load on each server, in turn.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reactor_server::load::Plan;
use reactor_server::program::cause::with_limits;
use reactor_server::program::signals::Signals;
use reactor_server::program::stream::print_error;

use crate::cli::{CompareArgs, LoadArgs, NamedServer};
use crate::interrupts::Interrupts;
use crate::limit::within_limits;
use crate::readable;
use crate::report::{Report, text};
use crate::run::Run;

/// The runs of several servers.
#[derive(Debug)]
pub(crate) struct Contest {
    pub(crate) contenders: Vec<Contender>,
    pub(crate) ending: Ending,
}

/// A server and its runs. Run k of one server and run k of another are a pair.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) runs: Vec<Report>,
}

/// How the runs ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Done,
    Interrupted,
    /// A server or a run has failed: what is wrong.
    Failed(Vec<String>),
}

/// The load of one server.
#[derive(Debug)]
struct Entrant {
    args: LoadArgs,
    plan: Plan,
    requested: u64,
}

/// The rest between two runs, as a share of the time that the last one took, and its bounds.
const REST: f64 = 0.1;
const RESTS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

impl Contest {
    /// Runs the load on each server in turn, and rests between the runs. Every second round is
    /// backwards, so that a server has no advantage of its place. The first failure ends it.
    ///
    /// # Errors
    /// It cannot begin.
    pub(crate) fn run(
        args: &CompareArgs,
        servers: &[NamedServer],
        plans: Vec<Plan>,
    ) -> anyhow::Result<Contest> {
        let signals = Signals::block().context("cannot block signals")?;
        let entrants = servers.iter().zip(plans).enumerate();
        let entrants: Vec<_> = entrants
            .map(|(number, (server, plan))| Entrant::new(&args.load, server, plan, number == 0))
            .collect::<anyhow::Result<_>>()?;
        let mut interrupts = Interrupts::handle(signals).map_err(with_limits)?;
        let contender = |it: &NamedServer| Contender { name: it.name.clone(), runs: Vec::new() };
        let mut contenders: Vec<_> = servers.iter().map(contender).collect();
        let (total, mut ending, mut rest) =
            (args.runs * servers.len(), Ending::Done, Duration::ZERO);
        for (number, place) in order(args.runs, servers.len()).enumerate() {
            interrupts.rest(rest);
            let (contender, began) = (&mut contenders[place], Instant::now());
            let title = format!("run {} of {total}, {}", number + 1, contender.name);
            let result = match interrupts.have_ended() {
                true => Err(Ending::Interrupted),
                false => entrants[place].run(&title, &mut interrupts),
            };
            match result {
                Ok(report) => contender.runs.push(report),
                Err(early) => {
                    ending = early;
                    break;
                }
            }
            rest = began.elapsed().mul_f64(REST).clamp(RESTS[0], RESTS[1]);
        }
        Ok(Contest { contenders, ending })
    }

    /// The contest that results were read of.
    pub(crate) fn of_results(contenders: Vec<Contender>) -> Contest {
        let is_interrupted = contenders.iter().flat_map(|it| &it.runs).any(|run| run.interrupted);
        let failures: Vec<_> = contenders
            .iter()
            .flat_map(|it| it.runs.iter().enumerate().map(|(number, run)| (&it.name, number, run)))
            .filter_map(|(name, number, run)| failures(&format!("{name}, run {}", number + 1), run))
            .flatten()
            .collect();
        let ending = match (is_interrupted, &failures[..]) {
            (true, _) => Ending::Interrupted,
            (false, []) => Ending::Done,
            (false, _) => Ending::Failed(failures),
        };
        Contest { contenders, ending }
    }
}

impl Contender {
    /// The runs of a server that results were read of.
    ///
    /// # Errors
    /// They are of different servers or loads, or one is there twice.
    pub(crate) fn of_results(name: String, runs: Vec<Report>) -> anyhow::Result<Contender> {
        for (number, run) in runs.iter().enumerate().skip(1) {
            if runs[..number].iter().any(|it| it.overlaps(run)) {
                bail!("two runs of {name} are the same one");
            }
            if let Some(difference) = runs[0].difference(run) {
                bail!("the runs of {name} had different loads: {difference}");
            }
            if let Some(difference) = runs[0].other_servers(run) {
                bail!("the runs of {name} were on different servers: {difference}");
            }
        }
        Ok(Contender { name, runs })
    }
}

impl Entrant {
    /// Prints what is worth a warning, if it is the first.
    fn new(
        args: &LoadArgs,
        server: &NamedServer,
        wanted: Plan,
        is_first: bool,
    ) -> anyhow::Result<Entrant> {
        let is_quiet = args.is_quiet() || !is_first;
        let requested = wanted.connections as u64;
        let plan = within_limits(wanted, is_quiet)?;
        let mut args = args.clone();
        args.server = server.source.clone();
        Ok(Entrant { args, plan, requested })
    }

    /// Runs the load once, and prints its rate.
    ///
    /// # Errors
    /// The run failed or was interrupted, and has no figures to compare.
    fn run(&self, title: &str, interrupts: &mut Interrupts) -> Result<Report, Ending> {
        let run = Run::start(&self.args, &self.plan, title, interrupts).and_then(Run::finish);
        let mut report =
            run.map_err(|error| Ending::Failed(vec![format!("{title}: {error:#}")]))?;
        report.connections.requested = self.requested;
        if report.interrupted {
            return Err(Ending::Interrupted);
        }
        if let Some(failures) = failures(title, &report) {
            return Err(Ending::Failed(failures));
        }
        if self.args.wants_lines() {
            print_error(&format!("{title}: {} per second", readable::number(report.rate())));
        }
        Ok(report)
    }
}

/// The places of the servers, in the order in which they run.
fn order(rounds: usize, servers: usize) -> impl Iterator<Item = usize> {
    (0..rounds).flat_map(move |round| {
        (0..servers).map(move |place| match round % 2 {
            0 => place,
            _ => servers - 1 - place,
        })
    })
}

/// What is wrong with a run, if anything.
fn failures(title: &str, report: &Report) -> Option<Vec<String>> {
    let mut failures = text::errors(report);
    if report.is_empty() {
        failures.push(text::no_reply(report).to_owned());
    }
    (!report.is_clean() || report.is_empty())
        .then(|| failures.iter().map(|it| format!("{title}: {it}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_round_is_backwards() {
        assert_eq!(order(3, 2).collect::<Vec<_>>(), [0, 1, 1, 0, 0, 1]);
        assert_eq!(order(2, 3).collect::<Vec<_>>(), [0, 1, 2, 2, 1, 0]);
    }
}
