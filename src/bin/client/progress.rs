//! What is shown while a load runs: a bar on a terminal, and a line now and then.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reactor_server::load::{Figures, Plan};

use crate::say;

/// What is shown while a load runs.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Whether lines are wanted.
    lines: bool,
    stage: Stage,
    began: Instant,
    /// When this stage began.
    since: Instant,
    /// When the last line was written, and how many replies had come then.
    last: (Instant, u64),
}

/// What there is to be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Opening { connections: u64 },
    WarmingUp(Duration),
    Messages(u64),
    Time(Duration),
    Holding(Duration),
}

/// How often a line is written.
const INTERVAL: Duration = Duration::from_secs(10);

impl Stage {
    /// What comes once messages count.
    pub(crate) fn of_talking(plan: &Plan, open: u64) -> Stage {
        match (plan.duration, plan.messages) {
            (Some(time), _) => Stage::Time(time),
            (None, messages) => Stage::Messages(messages.unwrap_or(0).saturating_mul(open)),
        }
    }

    fn template(self) -> &'static str {
        match self {
            Stage::Opening { .. } => {
                "{bar:30} {human_pos}/{human_len} connections, {per_sec}, {eta} left"
            }
            Stage::WarmingUp(_) => "{bar:30} warming up, {eta} left",
            Stage::Messages(_) => "{bar:30} {human_pos}/{human_len} messages, {msg}, {eta} left",
            Stage::Time(_) => "{bar:30} {msg}, {eta} left",
            Stage::Holding(_) => "{bar:30} {msg}, held, {eta} left",
        }
    }

    fn length(self) -> u64 {
        match self {
            Stage::Opening { connections } => connections,
            Stage::Messages(messages) => messages,
            Stage::WarmingUp(time) | Stage::Time(time) | Stage::Holding(time) => {
                time.as_millis() as u64
            }
        }
    }
}

impl Progress {
    /// `bar` is drawn on a terminal only, and without colours.
    pub(crate) fn new(bar: bool, lines: bool, connections: u64) -> Progress {
        let target = if bar { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let (now, stage) = (Instant::now(), Stage::Opening { connections });
        let bar = ProgressBar::with_draw_target(None, target);
        let mut progress = Progress { bar, lines, stage, began: now, since: now, last: (now, 0) };
        progress.enter(stage);
        progress
    }

    /// A stage begins.
    pub(crate) fn enter(&mut self, stage: Stage) {
        (self.stage, self.since) = (stage, Instant::now());
        // The rate of the next line is that of this stage.
        self.last.0 = self.since;
        let style = ProgressStyle::with_template(stage.template());
        self.bar.set_style(style.expect("the template is well-formed"));
        self.bar.reset();
        self.bar.set_length(stage.length());
    }

    /// Shows how far it has come.
    pub(crate) fn draw(&mut self, figures: Figures) {
        self.bar.set_message(self.message(figures));
        self.bar.set_position(match self.stage {
            Stage::Opening { .. } => figures.opened,
            Stage::Messages(_) => figures.messages,
            _ => self.since.elapsed().as_millis() as u64,
        });
        if self.lines && self.last.0.elapsed() >= INTERVAL {
            self.write_line(figures);
        }
    }

    fn message(&self, figures: Figures) -> String {
        match self.stage {
            Stage::Holding(_) => format!("{} connections", figures.open),
            _ => {
                let seconds = self.since.elapsed().as_secs_f64().max(0.001);
                format!("{:.0} a second", figures.messages as f64 / seconds)
            }
        }
    }

    /// The replies and their rate since the last line.
    fn write_line(&mut self, figures: Figures) {
        let (then, messages) =
            std::mem::replace(&mut self.last, (Instant::now(), figures.messages));
        let rate = (figures.messages - messages) as f64 / then.elapsed().as_secs_f64();
        let line = format!(
            "{:>7.1} s  {} connections  {} messages  {rate:.0} a second  {} errors",
            self.began.elapsed().as_secs_f64(),
            figures.open,
            figures.messages,
            figures.errors
        );
        self.say(&line);
    }

    /// Says something beside the bar.
    pub(crate) fn say(&self, line: &str) {
        self.bar.suspend(|| say(line));
    }

    /// Leaves the terminal as it was.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
