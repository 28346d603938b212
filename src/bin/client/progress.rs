//! The progress bar.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reactor_server::load::Plan;

/// What is drawn while the load runs: on a terminal only, and without colours.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    connections: u64,
}

impl Progress {
    pub(crate) fn new(plan: &Plan, wanted: bool) -> Progress {
        let connections = plan.connections as u64;
        // indicatif draws on a terminal only.
        let target =
            if wanted { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let messages = plan.messages.map(|messages| messages.saturating_mul(connections));
        let template = match messages {
            Some(_) => "{bar:30} {human_pos}/{human_len} messages, {per_sec}, {eta} left{msg}",
            None => "{spinner} {human_pos} messages, {per_sec}, {elapsed}{msg}",
        };
        let style = ProgressStyle::with_template(template).expect("the template is well-formed");
        let bar = ProgressBar::with_draw_target(messages, target).with_style(style);
        Progress { bar, connections }
    }

    /// Shows how many connections are open and how many replies have come.
    pub(crate) fn draw(&self, (opened, messages): (u64, u64)) {
        self.bar.set_position(messages);
        self.bar.set_message(match messages {
            0 => format!(" ({opened} of {} connections)", self.connections),
            _ => String::new(),
        });
    }

    /// Leaves the terminal as it was.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
