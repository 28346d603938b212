//! A run: the load, and what is measured around it.

use std::io;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use procfs::process::Process;
use reactor_server::load::{Control, Load, Outcome, Plan, Stage};
use reactor_server::program::signals::{Signal, Signals};

use crate::cli::LoadArgs;
use crate::local::is_local;
use crate::meter::{Meter, Reading};
use crate::progress::{Goal, ProgressDisplay};
use crate::report::{Environment, Report, RunRecord, ServerCost, Timeline};

/// The exit code of a shell command that SIGINT has ended.
pub(crate) const INTERRUPTED: u8 = 130;

/// How often progress is shown and recorded.
const INTERVAL: Duration = Duration::from_millis(100);

/// A load that is running, and what is measured around it.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    args: &'a LoadArgs,
    plan: &'a Plan,
    load: Load,
    began: Instant,
    display: ProgressDisplay,
    timeline: Timeline,
    environment: Environment,
    client: Readings,
    server: Option<Readings>,
}

/// The readings of one process.
#[derive(Debug)]
struct Readings {
    meter: Meter,
    /// Before the first connection.
    before: Reading,
    /// When all connections were open.
    open: Reading,
    /// When messages began to count.
    counting: Reading,
}

impl Readings {
    fn begin(meter: Meter) -> anyhow::Result<Readings> {
        let before = meter.read()?;
        Ok(Readings { meter, before, open: before, counting: before })
    }
}

impl<'a> Run<'a> {
    /// Starts the load.
    pub(crate) fn start(
        args: &'a LoadArgs,
        plan: &'a Plan,
        signals: Signals,
    ) -> anyhow::Result<Run<'a>> {
        let server = args.server_pid.map(|pid| Meter::of(pid).and_then(Readings::begin));
        let server = server.transpose()?;
        let client = Readings::begin(Meter::of_this_process()?)?;
        let environment = Environment::now(share_cpus(plan, &client, server.as_ref()));
        let load = Load::start(plan).context("cannot start the load")?;
        handle_signals(signals, load.control()).context("cannot start a thread")?;
        let goal = Goal::Connections(plan.connections as u64);
        Ok(Run {
            args,
            plan,
            load,
            began: Instant::now(),
            display: ProgressDisplay::new(args.wants_bar(), args.wants_lines(), goal),
            timeline: Timeline::new(seconds_since_1970(), INTERVAL),
            environment,
            client,
            server,
        })
    }

    /// Runs the load to its end.
    pub(crate) fn finish(mut self) -> anyhow::Result<Report> {
        loop {
            let stage = self.load.wait_for_stage(INTERVAL)?;
            if let Some(stage) = stage {
                self.enter(stage);
            }
            let progress = self.load.progress();
            self.timeline.record(self.began.elapsed(), progress);
            if stage == Some(Stage::Over) {
                break;
            }
            self.display.update(progress);
        }
        self.display.clear();
        self.report()
    }

    fn enter(&mut self, stage: Stage) {
        let open = self.load.progress().open;
        match stage {
            Stage::Opened => {
                self.read(|readings, now| readings.open = now);
                self.load.start_sending();
            }
            Stage::WarmingUp => self.display.set_goal(Goal::WarmUp(self.plan.warmup)),
            Stage::Counting => {
                self.read(|readings, now| readings.counting = now);
                self.display.set_goal(goal_of_messages(self.plan, open));
            }
            Stage::Holding => {
                let hold = self.plan.hold.unwrap_or_default();
                self.display.set_goal(Goal::Hold(hold));
                self.print(&format!("holding {open} connections for {hold:?}"));
            }
            Stage::Opening | Stage::TimeUp | Stage::LastEcho | Stage::Over => {}
        }
    }

    /// Reads both processes. If one has ended, the last reading in `report` says so.
    fn read(&mut self, store: impl Fn(&mut Readings, Reading)) {
        for readings in [Some(&mut self.client), self.server.as_mut()].into_iter().flatten() {
            if let Ok(now) = readings.meter.read() {
                store(readings, now);
            }
        }
    }

    fn print(&self, line: &str) {
        if self.args.wants_lines() {
            self.display.print(line);
        }
    }

    fn report(mut self) -> anyhow::Result<Report> {
        let outcome = self.load.take_outcome().context("the load has no results")?;
        let client_cpu = self.client.meter.read()?.cpu_since(&self.client.counting);
        let server_cost = self.server.as_ref().and_then(|server| {
            let cost = server_cost(server, &outcome, &self.environment.host);
            cost.inspect_err(|error| {
                self.print(&format!("the server's cost is not known: {error:#}"));
            })
            .ok()
        });
        let since = outcome.ended.map_or(Duration::ZERO, |ended| ended.elapsed());
        let record = RunRecord {
            ended: seconds_since_1970() - since.as_secs_f64(),
            timeline: self.timeline,
            client_cpu,
            server_cost,
            environment: self.environment,
        };
        Ok(Report::new(self.plan, outcome, record))
    }
}

fn goal_of_messages(plan: &Plan, open: u64) -> Goal {
    match plan.duration {
        Some(duration) => Goal::Duration(duration),
        None => Goal::Messages(plan.messages.unwrap_or(0).saturating_mul(open)),
    }
}

fn server_cost(server: &Readings, outcome: &Outcome, host: &str) -> anyhow::Result<ServerCost> {
    let cpu = server.meter.read()?.cpu_since(&server.counting);
    let opened = outcome.connections.opened;
    Ok(ServerCost {
        processes: [(format!("{} on {host}", server.meter.pid()), cpu)].into(),
        bytes_per_connection: server.open.memory_since(&server.before, opened),
    })
}

/// Whether client and server share CPUs. A server on this machine whose process is unknown
/// is taken to use all of them.
fn share_cpus(plan: &Plan, client: &Readings, server: Option<&Readings>) -> bool {
    server
        .and_then(|server| client.meter.shares_cpus_with(&server.meter).ok())
        .unwrap_or_else(|| is_local(plan.target))
}

/// The first signal to end stops the load, whose report is still printed. A second one ends
/// the process, in case the report finds no reader. Under nohup, SIGHUP stays ignored.
fn handle_signals(signals: Signals, load: Control) -> io::Result<()> {
    let ignores_hangup = ignores_hangup();
    let handle = move || {
        let mut is_stopping = false;
        while let Ok(signal) = signals.wait() {
            match signal {
                Signal::User1 => load.end_hold(),
                Signal::Hangup if ignores_hangup => {}
                Signal::Terminate | Signal::Hangup if is_stopping => {
                    std::process::exit(INTERRUPTED.into());
                }
                Signal::Terminate | Signal::Hangup => {
                    is_stopping = true;
                    load.stop();
                }
            }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(handle).map(drop)
}

/// Waiting for a signal returns it even if it is ignored, so this must be asked for.
fn ignores_hangup() -> bool {
    const SIGHUP: u64 = 1;
    let status = Process::myself().and_then(|process| process.status());
    status.is_ok_and(|status| status.sigign & (1 << (SIGHUP - 1)) != 0)
}

fn seconds_since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
