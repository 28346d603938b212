//! A run: the load, and what is measured around it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use reactor_server::load::{Close, Load, Outcome, Plan, STEP, Stage};
use reactor_server::program::cause::with_limits;
use reactor_server::program::stream::print_error;

use crate::cli::LoadArgs;
use crate::interrupts::Interrupts;
use crate::local::is_local;
use crate::meter::{Meter, Reading};
use crate::progress::{Goal, ProgressDisplay};
use crate::report::{Environment, Report, RunRecord, ServerCost, Timeline};

/// How often progress is shown, and steps of time are recorded.
const INTERVAL: Duration = Duration::from_millis(100);

/// A load that is running, and what is measured around it.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    args: &'a LoadArgs,
    plan: &'a Plan,
    interrupts: &'a mut Interrupts,
    load: Load,
    display: ProgressDisplay,
    timeline: Timeline,
    environment: Environment,
    /// `None` if the client's cost cannot be read.
    client: Option<Readings>,
    server: Option<Readings>,
    /// Whether it was said that connections wait for local ports.
    has_said_shortage: bool,
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
    /// Starts the load. The title, such as "run 3 of 10, tokio", stands in front of all progress;
    /// it is empty for a run that is the only one.
    pub(crate) fn start(
        args: &'a LoadArgs,
        plan: &'a Plan,
        title: &str,
        interrupts: &'a mut Interrupts,
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
        let load = Load::start(plan).map_err(with_limits).context("cannot start the load")?;
        let goal = Goal::Connections(plan.connections as u64);
        Ok(Run {
            args,
            plan,
            interrupts,
            load,
            display: ProgressDisplay::new(
                title,
                args.wants_bar(),
                args.wants_lines(),
                args.interval,
                goal,
            ),
            timeline: Timeline::new(seconds_since_1970(), STEP.as_secs_f64()),
            environment,
            client,
            server,
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
            while let Some(step) = self.load.next_step() {
                self.timeline.record(&step);
                if stage != Some(Stage::Over) {
                    self.display.record(&step);
                }
            }
            if progress.port_shortages > 0 {
                self.print_shortage();
            }
            if stage == Some(Stage::Over) {
                break;
            }
            self.interrupts.apply(&self.load.control());
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
                self.timeline.messages_began = Some(seconds_since_1970());
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
        let record = RunRecord {
            ended: seconds_since_1970() + outcome.ended.map_or(0.0, seconds_until),
            timeline: self.timeline,
            client_cpu,
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

/// The seconds until a moment; negative if it is past.
fn seconds_until(moment: Instant) -> f64 {
    let now = Instant::now();
    let (left, past) =
        (moment.saturating_duration_since(now), now.saturating_duration_since(moment));
    left.as_secs_f64() - past.as_secs_f64()
}

fn seconds_since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
