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
use crate::readable;
use crate::report::{Environment, Outages, Report, RunRecord, ServerCost, Timeline};

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
    cpu_span: CpuSpan,
    /// Whether it was said that connections wait for local ports.
    has_said_shortage: bool,
    /// When messages begin, while connections wait for it.
    starts_at: Option<SystemTime>,
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
        let (open, counting) = (before.clone(), before.clone());
        Ok(Readings { meter, before, open, counting })
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
        let server = args.server.as_ref().map(Meter::of).transpose()?;
        let server = server.and_then(|meter| readings(args, "server", meter));
        if server.as_ref().is_some_and(|it| !it.before.has_kernel_memory()) && args.wants_lines() {
            print_error(
                "the kernel's memory per connection is not known: /proc/meminfo has no Slab",
            );
        }
        let client = readings(args, "client", Meter::of_this_process());
        let shares_cpus = share_cpus(plan, client.as_ref(), server.as_ref());
        let environment = Environment::now(shares_cpus, plan);
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
            cpu_span: CpuSpan::begin(),
            has_said_shortage: false,
            starts_at: None,
        })
    }

    /// Runs the load to its end.
    pub(crate) fn finish(mut self) -> anyhow::Result<Report> {
        loop {
            let stage = self.load.wait_for_stage(self.until_start().min(INTERVAL))?;
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
            if self.starts_at.is_some() && (self.until_start().is_zero() || progress.open == 0) {
                self.start_after_waiting();
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
                match self.args.start_at {
                    Some(moment) if open > 0 => self.wait_for_start(moment, open),
                    _ => self.start_sending(),
                }
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
                let open = readable::counted(open, "connection", "connections");
                self.print(&format!("holding {open} for {hold:?}"));
            }
            Stage::LastEcho => self.cpu_span.go_on(),
            Stage::Opening | Stage::TimeUp | Stage::Over => {}
        }
    }

    /// Has the connections wait for the moment at which messages begin.
    fn wait_for_start(&mut self, moment: SystemTime, open: u64) {
        self.starts_at = Some(moment);
        match moment.duration_since(SystemTime::now()) {
            Ok(left) => {
                self.display.set_goal(Goal::Start(left));
                let left = left.as_secs_f64();
                let open = readable::counted(open, "connection is", "connections are");
                self.print(&format!("{open} open: messages begin in {left:.1} s"));
            }
            Err(late) => {
                let late = late.duration().as_secs_f64();
                self.print(&format!(
                    "the connections were open {late:.1} s after --start-at: messages begin now"
                ));
            }
        }
    }

    /// How long connections still wait, if they do.
    fn until_start(&self) -> Duration {
        self.starts_at.map_or(INTERVAL, |moment| {
            moment.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO)
        })
    }

    /// Starts to send messages. The time of the wait is not part of the timeline.
    fn start_after_waiting(&mut self) {
        self.starts_at = None;
        self.timeline = Timeline::new(seconds_since_1970(), STEP.as_secs_f64());
        self.start_sending();
    }

    fn start_sending(&mut self) {
        self.timeline.messages_began = Some(seconds_since_1970());
        self.load.start_sending();
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
        let server_cost = self.args.server.as_ref().map(|_| self.server_cost(&outcome));
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

    /// What the load has cost the server. If that is not known, prints why.
    fn server_cost(&self, outcome: &Outcome) -> Option<ServerCost> {
        let server = self.server.as_ref()?;
        let result = server.meter.read();
        let unknown = |error| self.print(&format!("the server's cost is not known: {error:#}"));
        let now = result.map_err(unknown).ok()?;
        let host = self.environment.host.as_deref().unwrap_or("an unknown host");
        let name = server.meter.name(host);
        let sent = outcome.bytes_sent;
        if let Some(received) = now.received_since(&server.open)
            && received < sent - sent / 10
        {
            self.print(&format!(
                "the server of {name} has received {received} of {sent} bytes: it is another \
                 server, or one of several"
            ));
        }
        Some(ServerCost {
            processes: [(name, now.cpu_since(&server.counting))].into(),
            bytes_per_connection: server
                .open
                .memory_since(&server.before, outcome.connections.opened),
            loops: now.loops_since(&server.counting),
        })
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

/// When a moment is or was, in seconds since 1970.
fn since_1970(moment: Instant) -> f64 {
    seconds_since_1970() + seconds_until(moment)
}

fn seconds_since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
