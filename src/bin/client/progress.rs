//! The progress that is shown while a load runs: a bar on a terminal, and a line for each
//! interval.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reactor_server::load::{Progress, StepRecord};
use reactor_server::program::stream::print_error;

use crate::readable;
use crate::window::{Figures, Window};

/// Shows the progress of a load.
#[derive(Debug)]
pub(crate) struct ProgressDisplay {
    bar: ProgressBar,
    /// What stands in front of the bar and of lines of progress, with a separator.
    title: String,
    /// Whether lines are written.
    has_lines: bool,
    goal: Goal,
    began: Instant,
    /// Since when this is the goal.
    since: Instant,
    /// The interval of the next line.
    line: Window,
    /// The interval of the bar's figures.
    short: Window,
    /// The last figures of the bar.
    figures: Option<Figures>,
}

/// What the bar counts towards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    Connections(u64),
    Start(Duration),
    WarmUp(Duration),
    Messages(u64),
    Duration(Duration),
    Hold(Duration),
}

/// The longest interval of the bar's figures: they should follow what happens.
const SHORT: Duration = Duration::from_secs(1);

impl Goal {
    fn template(self) -> &'static str {
        match self {
            Goal::Connections(_) => {
                "{bar:30} {human_pos}/{human_len} connections, {msg}, {eta} left"
            }
            Goal::Start(_) => "{bar:30} {msg} open, {eta} to the start",
            Goal::WarmUp(_) | Goal::Hold(_) => "{bar:30} {elapsed}, {eta} left  {wide_msg}",
            // Within 80 columns there is room for all figures.
            Goal::Messages(_) | Goal::Duration(_) => "{bar:8} {elapsed}, {eta} left  {wide_msg}",
        }
    }

    /// What connections do that send no messages.
    fn without_messages(self) -> Option<&'static str> {
        match self {
            Goal::Connections(_) => Some("opening"),
            Goal::Start(_) => Some("waiting"),
            Goal::WarmUp(_) => Some("warming up"),
            Goal::Hold(_) => Some("held"),
            Goal::Messages(_) | Goal::Duration(_) => None,
        }
    }

    fn length(self) -> u64 {
        match self {
            Goal::Connections(count) | Goal::Messages(count) => count,
            Goal::Start(time) | Goal::WarmUp(time) | Goal::Duration(time) | Goal::Hold(time) => {
                time.as_millis() as u64
            }
        }
    }
}

impl ProgressDisplay {
    /// The bar is drawn on a terminal only, and without colours.
    pub(crate) fn new(
        title: &str,
        has_bar: bool,
        has_lines: bool,
        interval: Duration,
        goal: Goal,
    ) -> ProgressDisplay {
        let title = if title.is_empty() { String::new() } else { format!("{title}: ") };
        let target =
            if has_bar { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        let now = Instant::now();
        let mut display = ProgressDisplay {
            bar,
            title,
            has_lines,
            goal,
            began: now,
            since: now,
            line: Window::new(interval, now),
            short: Window::new(interval.min(SHORT), now),
            figures: None,
        };
        display.set_goal(goal);
        display
    }

    pub(crate) fn set_goal(&mut self, goal: Goal) {
        (self.goal, self.since) = (goal, Instant::now());
        self.line.restart();
        self.short.restart();
        self.figures = None;
        let style = ProgressStyle::with_template(&format!("{{prefix}}{}", goal.template()));
        self.bar.set_prefix(self.title.clone());
        self.bar.set_style(style.expect("the template is well-formed"));
        self.bar.reset();
        self.bar.set_length(goal.length());
    }

    /// Adds a step to the intervals, and prints the line of one that is over.
    pub(crate) fn record(&mut self, step: &StepRecord) {
        if let Some(figures) = self.short.add(step) {
            self.figures = Some(figures);
        }
        if let Some(figures) = self.line.add(step)
            && self.has_lines
        {
            let seconds = step.ended.saturating_duration_since(self.began).as_secs_f64();
            let what = self.what(&figures);
            self.print(&format!(
                "{}{seconds:>7.1} s  {}  {what}",
                self.title,
                readable::counted(step.open, "connection", "connections")
            ));
        }
    }

    pub(crate) fn update(&mut self, progress: Progress) {
        self.bar.set_message(self.message(progress));
        self.bar.set_position(match self.goal {
            Goal::Connections(_) => progress.opened,
            Goal::Messages(_) => progress.messages,
            _ => self.since.elapsed().as_millis() as u64,
        });
    }

    /// Prints a line of its own.
    pub(crate) fn print(&self, line: &str) {
        self.bar.suspend(|| print_error(line));
    }

    /// Removes the bar from the terminal.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    fn message(&self, progress: Progress) -> String {
        match self.goal {
            Goal::Connections(_) => {
                let seconds = self.since.elapsed().as_secs_f64().max(0.001);
                format!("{} per second", readable::number(progress.opened as f64 / seconds))
            }
            Goal::Start(_) => readable::counted(progress.open, "connection", "connections"),
            _ => self.what(self.figures.as_ref().unwrap_or(self.short.so_far())),
        }
    }

    /// What happened in an interval.
    fn what(&self, figures: &Figures) -> String {
        match self.goal.without_messages() {
            Some(what) if !figures.has_replies() => {
                format!("{what}  {}", readable::counted(figures.errors, "error", "errors"))
            }
            _ => figures.to_string(),
        }
    }
}
