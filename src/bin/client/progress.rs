//! The progress that is shown while a load runs: a bar on a terminal, and a line every
//! ten seconds.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reactor_server::load::Progress;
use reactor_server::program::stream::print_error;

use crate::readable;

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
    /// When the last line was written, and how many messages there were then.
    last_line: (Instant, u64),
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

/// How often a line is written.
const INTERVAL: Duration = Duration::from_secs(10);

impl Goal {
    fn template(self) -> &'static str {
        match self {
            Goal::Connections(_) => {
                "{bar:30} {human_pos}/{human_len} connections, {msg}, {eta} left"
            }
            Goal::Start(_) => "{bar:30} {msg} open, {eta} to the start",
            Goal::WarmUp(_) => "{bar:30} warming up, {eta} left",
            Goal::Messages(_) => "{bar:30} {human_pos}/{human_len} messages, {msg}, {eta} left",
            Goal::Duration(_) => "{bar:30} {msg}, {eta} left",
            Goal::Hold(_) => "{bar:30} {msg}, held, {eta} left",
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
    pub(crate) fn new(title: &str, has_bar: bool, has_lines: bool, goal: Goal) -> ProgressDisplay {
        let title = if title.is_empty() { String::new() } else { format!("{title}: ") };
        let target =
            if has_bar { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        let now = Instant::now();
        let (began, since, last_line) = (now, now, (now, 0));
        let mut display = ProgressDisplay { bar, title, has_lines, goal, began, since, last_line };
        display.set_goal(goal);
        display
    }

    pub(crate) fn set_goal(&mut self, goal: Goal) {
        (self.goal, self.since) = (goal, Instant::now());
        // The next line shows the rate since now.
        self.last_line.0 = self.since;
        self.bar.set_message(self.message(Progress::default()));
        let style = ProgressStyle::with_template(&format!("{{prefix}}{}", goal.template()));
        self.bar.set_prefix(self.title.clone());
        self.bar.set_style(style.expect("the template is well-formed"));
        self.bar.reset();
        self.bar.set_length(goal.length());
    }

    pub(crate) fn update(&mut self, progress: Progress) {
        self.bar.set_message(self.message(progress));
        self.bar.set_position(match self.goal {
            Goal::Connections(_) => progress.opened,
            Goal::Messages(_) => progress.messages,
            _ => self.since.elapsed().as_millis() as u64,
        });
        if self.has_lines && self.last_line.0.elapsed() >= INTERVAL {
            self.print_progress(progress);
        }
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
            Goal::Start(_) | Goal::Hold(_) => {
                format!("{} connections", readable::count(progress.open))
            }
            goal => {
                let seconds = self.since.elapsed().as_secs_f64().max(0.001);
                let count = match goal {
                    Goal::Connections(_) => progress.opened,
                    _ => progress.messages,
                };
                format!("{} per second", readable::number(count as f64 / seconds))
            }
        }
    }

    /// Prints the progress, with the rate since the last line.
    fn print_progress(&mut self, progress: Progress) {
        let now = (Instant::now(), progress.messages);
        let (then, messages) = std::mem::replace(&mut self.last_line, now);
        let rate = (progress.messages - messages) as f64 / then.elapsed().as_secs_f64();
        self.print(&format!(
            "{}{:>7.1} s  {} connections  {} messages  {} per second  {} errors",
            self.title,
            self.began.elapsed().as_secs_f64(),
            readable::count(progress.open),
            readable::count(progress.messages),
            readable::number(rate),
            readable::count(progress.errors)
        ));
    }
}
