//! A run: the load, and what is measured around it.

use std::io;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use reactor_server::load::{Close, Control, Load, Outcome, Plan, Stage};
use reactor_server::program::cause::with_limits;
use reactor_server::program::signals::{Signal, Signals, is_hangup_ignored};
use reactor_server::program::stream::print_error;
use reactor_server::program::thread;

use crate::cli::LoadArgs;
use crate::local::is_local;
use crate::meter::{Meter, Reading};
use crate::progress::{Goal, ProgressDisplay};
use crate::report::{Environment, Outages, Report, RunRecord, ServerCost, Timeline};

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
    /// `None` if the client's cost cannot be read.
    client: Option<Readings>,
    server: Option<Readings>,
    cpu_span: CpuSpan,
    /// Whether it was said that connections wait for local ports.
    has_said_shortage: bool,
}

/// The time in which the processes use the CPU time that is reported. A hold, in which they use
/// next to none, does not belong to it.
#[derive(Debug, Clone, Copy)]
struct CpuSpan {
    /// The length before `since`.
    earlier: Duration,
    /// Since when it goes on, or `None` in a hold.
    since: Option<Instant>,
}

impl CpuSpan {
    fn begin() -> CpuSpan {
        CpuSpan { earlier: Duration::ZERO, since: Some(Instant::now()) }
    }

    fn pause(&mut self) {
        *self = CpuSpan { earlier: self.length(), since: None };
    }

    fn go_on(&mut self) {
        self.since = Some(Instant::now());
    }

    fn length(&self) -> Duration {
        self.earlier + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
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
        let server = args.server_pid.map(Meter::of).transpose()?;
        let server = server.and_then(|meter| readings(args, "server", meter));
        if server.as_ref().is_some_and(|it| !it.before.has_kernel_memory()) && args.wants_lines() {
            print_error(
                "the kernel's memory per connection is not known: /proc/meminfo has no Slab",
            );
        }
        let client = readings(args, "client", Meter::of_this_process());
        let shares_cpus = share_cpus(plan, client.as_ref(), server.as_ref());
        let environment = Environment::now(shares_cpus);
        let (control, controls) = mpsc::channel();
        handle_signals(signals, controls).map_err(with_limits)?;
        let load = Load::start(plan).map_err(with_limits).context("cannot start the load")?;
        control.send(load.control()).context("the thread signals has ended")?;
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
            cpu_span: CpuSpan::begin(),
            has_said_shortage: false,
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
            if progress.port_shortages > 0 {
                self.print_shortage();
            }
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
                self.cpu_span = CpuSpan::begin();
                self.display.set_goal(goal_of_messages(self.plan, open));
            }
            Stage::Holding => {
                self.cpu_span.pause();
                let hold = self.plan.hold.unwrap_or_default();
                self.display.set_goal(Goal::Hold(hold));
                self.print(&format!("holding {open} connections for {hold:?}"));
            }
            Stage::LastEcho => self.cpu_span.go_on(),
            Stage::Opening | Stage::TimeUp | Stage::Over => {}
        }
    }

    /// Reads both processes. If one has ended, the last reading in `report` says so.
    fn read(&mut self, store: impl Fn(&mut Readings, Reading)) {
        for readings in [self.client.as_mut(), self.server.as_mut()].into_iter().flatten() {
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

    /// Prints once why connections are not opened.
    fn print_shortage(&mut self) {
        if !std::mem::replace(&mut self.has_said_shortage, true) {
            let leaves_ports = self.plan.reconnect_every.is_some() && self.plan.close != Close::Rst;
            let more = match leaves_ports {
                true => ", and --close rst leaves none in TIME_WAIT",
                false => "",
            };
            self.print(&format!(
                "out of local ports: waiting for one; --source adds addresses{more}"
            ));
        }
    }

    fn report(mut self) -> anyhow::Result<Report> {
        let outcome = self.load.take_outcome().context("the load has no results")?;
        let client_cpu = self
            .client
            .as_ref()
            .and_then(|client| Some(client.meter.read().ok()?.cpu_since(&client.counting)));
        let server_cost = self.server.as_ref().and_then(|server| {
            let cost = server_cost(server, &outcome, self.environment.host.as_deref());
            cost.inspect_err(|error| {
                self.print(&format!("the server's cost is not known: {error:#}"));
            })
            .ok()
        });
        let server_cost = self.args.server_pid.map(|_| server_cost);
        let outages = Outages::new(&outcome.outages, since_1970);
        let record = RunRecord {
            ended: outcome.ended.map_or_else(seconds_since_1970, since_1970),
            outages,
            timeline: self.timeline,
            client_cpu,
            cpu_span: self.cpu_span.length(),
            server_cost,
            environment: self.environment,
        };
        Ok(Report::new(self.plan, outcome, record))
    }
}

/// The first readings of a process. What cannot be read is said, and left out of the results.
fn readings(args: &LoadArgs, whose: &str, meter: Meter) -> Option<Readings> {
    let readings = Readings::begin(meter);
    if let (Err(error), true) = (&readings, args.wants_lines()) {
        print_error(&format!("the {whose}'s cost is not known: {error:#}"));
    }
    readings.ok()
}

fn goal_of_messages(plan: &Plan, open: u64) -> Goal {
    match plan.duration {
        Some(duration) => Goal::Duration(duration),
        None => Goal::Messages(plan.messages.unwrap_or(0).saturating_mul(open)),
    }
}

fn server_cost(
    server: &Readings,
    outcome: &Outcome,
    host: Option<&str>,
) -> anyhow::Result<ServerCost> {
    let cpu = server.meter.read()?.cpu_since(&server.counting);
    let (opened, host) = (outcome.connections.opened, host.unwrap_or("an unknown host"));
    Ok(ServerCost {
        processes: [(format!("{} on {host}", server.meter.pid()), cpu)].into(),
        bytes_per_connection: server.open.memory_since(&server.before, opened),
    })
}

/// Whether client and server share CPUs. A server on this machine whose process is unknown
/// is taken to use all of them.
fn share_cpus(plan: &Plan, client: Option<&Readings>, server: Option<&Readings>) -> bool {
    client
        .zip(server)
        .and_then(|(client, server)| client.meter.shares_cpus_with(&server.meter).ok())
        .unwrap_or_else(|| is_local(plan.target))
}

/// Starts a thread that handles signals once it receives the control of the load. The first
/// signal to end stops the load, whose report is still printed. A second one ends the process,
/// in case the report finds no reader. Under nohup, SIGHUP stays ignored.
fn handle_signals(signals: Signals, controls: mpsc::Receiver<Control>) -> io::Result<()> {
    let ignores_hangup = is_hangup_ignored();
    let handle = move || {
        let Ok(load) = controls.recv() else { return };
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
    thread::start("signals".to_owned(), 1, handle).map(drop)
}

/// The seconds until a moment; negative if it is past.
fn seconds_until(moment: Instant) -> f64 {
    let now = Instant::now();
    let (left, past) =
        (moment.saturating_duration_since(now), now.saturating_duration_since(moment));
    left.as_secs_f64() - past.as_secs_f64()
}

/// When a moment is or was, in seconds since 1970.
fn since_1970(moment: Instant) -> f64 {
    seconds_since_1970() + seconds_until(moment)
}

fn seconds_since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
