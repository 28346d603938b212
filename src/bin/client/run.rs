//! A run: the load, and what is to be known of it beside its outcome.

use std::io;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use procfs::process::Process;
use reactor_server::load::{Control, Load, Milestone, Outcome, Plan};
use reactor_server::program::signals::{Signal, Signals};

use crate::INTERRUPTED;
use crate::cli::Cli;
use crate::cost::{Meter, Reading, ServerCost};
use crate::environment::Environment;
use crate::progress::{Progress, Stage};
use crate::report::{Circumstances, Report};
use crate::timeline::Timeline;

/// How often progress is shown and noted.
const FRAME: Duration = Duration::from_millis(100);

/// A load, and who watches it.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    cli: &'a Cli,
    plan: &'a Plan,
    load: Load,
    began: Instant,
    progress: Progress,
    timeline: Timeline,
    environment: Environment,
    client: Watch,
    server: Option<Watch>,
}

/// What is read of a process, and when.
#[derive(Debug)]
struct Watch {
    meter: Meter,
    /// Before the first connection.
    before: Reading,
    /// When all were open.
    open: Reading,
    /// When messages began to count.
    counting: Reading,
}

impl Watch {
    fn begin(meter: Meter) -> anyhow::Result<Watch> {
        let before = meter.read()?;
        Ok(Watch { meter, before, open: before, counting: before })
    }
}

impl<'a> Run<'a> {
    /// Starts it.
    pub(crate) fn start(cli: &'a Cli, plan: &'a Plan, signals: Signals) -> anyhow::Result<Run<'a>> {
        let server = cli.server_pid.map(|pid| Meter::of(pid).and_then(Watch::begin));
        let server = server.transpose()?;
        let client = Watch::begin(Meter::of_this_process()?)?;
        let environment = Environment::now(plan.target.ip(), server.as_ref().map(|it| &it.meter));
        let load = Load::start(plan).context("cannot start the load")?;
        obey(signals, load.control()).context("cannot start a thread")?;
        Ok(Run {
            cli,
            plan,
            load,
            began: Instant::now(),
            progress: Progress::new(cli.wants_bar(), cli.wants_lines(), plan.connections as u64),
            timeline: Timeline::new(seconds_since_1970(), FRAME),
            environment,
            client,
            server,
        })
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> anyhow::Result<Report> {
        let outcome = loop {
            match self.load.next(FRAME)? {
                Some(Milestone::Over(outcome)) => break outcome,
                Some(milestone) => self.pass(&milestone),
                None => {}
            }
            let figures = self.load.figures();
            self.timeline.note(self.began.elapsed(), figures);
            self.progress.draw(figures);
        };
        self.timeline.note(self.began.elapsed(), self.load.figures());
        self.progress.clear();
        self.report(*outcome)
    }

    fn pass(&mut self, milestone: &Milestone) {
        let open = self.load.figures().open;
        match milestone {
            Milestone::Open => {
                self.read(|watch, now| watch.open = now);
                self.progress.enter(Stage::WarmingUp(self.plan.warmup));
                self.load.talk();
            }
            Milestone::Counting => {
                self.read(|watch, now| watch.counting = now);
                self.progress.enter(Stage::of_talking(self.plan, open));
            }
            Milestone::Holding => {
                let hold = self.plan.hold.unwrap_or_default();
                self.progress.enter(Stage::Holding(hold));
                self.say(&format!("holding {open} connections for {hold:?}"));
            }
            Milestone::Over(_) => {}
        }
    }

    /// Reads both meters. What one says no more is found out when the last is read.
    fn read(&mut self, note: impl Fn(&mut Watch, Reading)) {
        for watch in [Some(&mut self.client), self.server.as_mut()].into_iter().flatten() {
            if let Ok(now) = watch.meter.read() {
                note(watch, now);
            }
        }
    }

    fn say(&self, line: &str) {
        if self.cli.wants_lines() {
            self.progress.say(line);
        }
    }

    fn report(self, outcome: Outcome) -> anyhow::Result<Report> {
        let client_cpu = self.client.meter.read()?.cpu_since(&self.client.counting);
        let server_cost = self.server.as_ref().and_then(|server| {
            let cost = cost(server, &outcome, &self.environment.host);
            cost.inspect_err(|error| {
                self.say(&format!("the server's cost is not known: {error:#}"))
            })
            .ok()
        });
        let since = outcome.ended.map_or(Duration::ZERO, |ended| ended.elapsed());
        let around = Circumstances {
            ended: seconds_since_1970() - since.as_secs_f64(),
            timeline: self.timeline,
            client_cpu,
            server_cost,
            environment: self.environment,
        };
        Ok(Report::new(self.plan, outcome, around))
    }
}

fn cost(server: &Watch, outcome: &Outcome, host: &str) -> anyhow::Result<ServerCost> {
    let cpu = server.meter.read()?.cpu_since(&server.counting);
    let opened = outcome.connections.opened;
    Ok(ServerCost {
        processes: [(format!("{} on {host}", server.meter.pid()), cpu)].into(),
        bytes_per_connection: server.open.bytes_since(&server.before, opened),
    })
}

/// The first signal to end ends the load, whose report is still printed. A second one
/// ends the program, should the report find no reader. Whom nohup has started, the end
/// of its terminal does not concern.
fn obey(signals: Signals, load: Control) -> io::Result<()> {
    let outlives_terminal = ignores_hangup();
    let obey = move || {
        let mut ends = 0;
        while let Ok(signal) = signals.wait() {
            match signal {
                Signal::User1 => load.release(),
                Signal::Hangup if outlives_terminal => {}
                Signal::Terminate | Signal::Hangup if ends == 0 => {
                    ends += 1;
                    load.stop();
                }
                Signal::Terminate | Signal::Hangup => std::process::exit(INTERRUPTED.into()),
            }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(obey).map(drop)
}

/// A signal that is waited for arrives although it is ignored.
fn ignores_hangup() -> bool {
    const SIGHUP: u64 = 1;
    let status = Process::myself().and_then(|process| process.status());
    status.is_ok_and(|status| status.sigign & (1 << (SIGHUP - 1)) != 0)
}

fn seconds_since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
