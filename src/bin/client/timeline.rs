//! How a run went, over time.

use std::time::Duration;

use reactor_server::load::Figures;
use serde::{Deserialize, Serialize};

/// How many replies came and how many connections were open, over time, in steps that
/// grow so that there are never many.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Timeline {
    /// When it began, in seconds since 1970.
    pub(crate) began: f64,
    /// How long a step is.
    pub(crate) step_seconds: f64,
    /// Replies in each step.
    pub(crate) messages: Vec<u64>,
    /// Open connections at the end of each step.
    pub(crate) connections: Vec<u64>,
    /// How many replies had come at the last note.
    #[serde(skip)]
    seen: u64,
    /// When that was, in seconds since the beginning.
    #[serde(skip)]
    noted: f64,
}

/// At most so many steps: more than a chart can show.
const STEPS: usize = 600;

impl Timeline {
    pub(crate) fn new(began: f64, step: Duration) -> Timeline {
        let (messages, connections, seen, noted) = Default::default();
        Timeline { began, step_seconds: step.as_secs_f64(), messages, connections, seen, noted }
    }

    /// Notes how far the load has come, so long after the beginning.
    pub(crate) fn note(&mut self, elapsed: Duration, figures: Figures) {
        let now = elapsed.as_secs_f64();
        while now >= self.step_seconds * STEPS as f64 {
            self.halve();
        }
        let step = (now / self.step_seconds) as usize;
        while self.messages.len() <= step {
            self.messages.push(0);
            self.connections.push(figures.open);
        }
        self.connections[step] = figures.open;
        self.spread(figures.messages - self.seen, now);
        (self.seen, self.noted) = (figures.messages, now);
    }

    /// Adds replies that came since the last note: evenly, as far as is known.
    ///
    /// All in the step of this note would be late by one, and would leave a step without
    /// replies wherever a note comes a little late.
    fn spread(&mut self, mut messages: u64, now: f64) {
        let (mut from, step) = (self.noted, self.step_seconds);
        let last = (now / step) as usize;
        for index in (from / step) as usize..last {
            let end = (step * (index + 1) as f64).clamp(from, now);
            let share = (messages as f64 * (end - from) / (now - from)) as u64;
            self.messages[index] += share.min(messages);
            messages -= share.min(messages);
            from = end;
        }
        self.messages[last] += messages;
    }

    fn halve(&mut self) {
        self.step_seconds *= 2.0;
        self.messages = self.messages.chunks(2).map(|pair| pair.iter().sum()).collect();
        self.connections = self.connections.chunks(2).map(|pair| pair[pair.len() - 1]).collect();
    }

    /// Both together, in the longer of the two steps.
    pub(crate) fn merge(&self, other: &Timeline) -> Timeline {
        let began = self.began.min(other.began);
        let end = self.end().max(other.end());
        let mut step = self.step_seconds.max(other.step_seconds);
        while (end - began) / step > STEPS as f64 {
            step *= 2.0;
        }
        let mut sum = Timeline::new(began, Duration::from_secs_f64(step));
        let steps = (((end - began) / step).ceil() as usize).max(1);
        sum.messages = vec![0; steps];
        sum.connections = vec![0; steps];
        self.add_to(&mut sum);
        other.add_to(&mut sum);
        sum
    }

    /// Whether it could have been written by this.
    pub(crate) fn is_sound(&self) -> bool {
        let steps = self.messages.len();
        steps == self.connections.len()
            && steps <= STEPS + 1
            && (0.001..1e9).contains(&self.step_seconds)
    }

    fn end(&self) -> f64 {
        self.began + self.step_seconds * self.messages.len() as f64
    }

    /// Adds the replies of each step where its middle is, and the connections of each
    /// step of `sum` as they were in its middle.
    fn add_to(&self, sum: &mut Timeline) {
        let middle = |began: f64, index: usize, step: f64| began + (index as f64 + 0.5) * step;
        for (index, messages) in self.messages.iter().enumerate() {
            let at = middle(self.began, index, self.step_seconds) - sum.began;
            let last = sum.messages.len() - 1;
            sum.messages[((at / sum.step_seconds) as usize).min(last)] += messages;
        }
        for (index, connections) in sum.connections.iter_mut().enumerate() {
            let at = middle(sum.began, index, sum.step_seconds) - self.began;
            if at >= 0.0 {
                let here = self.connections.get((at / self.step_seconds) as usize);
                *connections += here.copied().unwrap_or(0);
            }
        }
    }

    /// The steps, if all was over then, in seconds since 1970.
    ///
    /// The last is as long as there was time left for it, so that its rate is right. If that
    /// is less than half of a step, which says little of a rate, it is part of the one before.
    pub(crate) fn steps(&self, ended: f64) -> Vec<Step> {
        let (step, end) = (self.step_seconds, ended - self.began);
        let from = (0..).map(|index| f64::from(index) * step);
        let counts = self.messages.iter().zip(&self.connections);
        let mut steps: Vec<_> = from
            .zip(counts)
            .map(|(from, (&messages, &open))| Step { from, to: from + step, messages, open })
            .collect();
        // Where clients are merged whose steps do not begin together, two may be too many.
        for _ in 0..2 {
            if let [.., before, last] = &mut steps[..]
                && end - last.from < step / 2.0
            {
                *before = before.and(last);
                steps.pop();
            }
        }
        if let Some(last) = steps.last_mut().filter(|last| last.from < end) {
            last.to = last.to.min(end);
        }
        steps
    }
}

/// A stretch of time, in seconds since the beginning.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// Replies that came in it.
    pub(crate) messages: u64,
    /// Open connections at its end.
    pub(crate) open: u64,
}

impl Step {
    /// This one and the next, as one.
    pub(crate) fn and(&self, next: &Step) -> Step {
        Step { from: self.from, messages: self.messages + next.messages, ..*next }
    }

    /// Replies a second.
    pub(crate) fn rate(&self) -> f64 {
        let seconds = self.to - self.from;
        if seconds > 0.0 { self.messages as f64 / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(messages: u64, open: u64) -> Figures {
        Figures { messages, open, ..Figures::default() }
    }

    #[test]
    fn however_long_it_runs_there_are_few_steps_and_no_message_is_lost() {
        let mut timeline = Timeline::new(0.0, Duration::from_millis(100));
        for tick in 1..=100_000 {
            timeline.note(Duration::from_millis(100) * tick, figures(u64::from(tick) * 3, 7));
        }
        assert!(timeline.messages.len() <= STEPS && timeline.messages.len() > STEPS / 4);
        assert_eq!(timeline.messages.iter().sum::<u64>(), 300_000);
        assert!(timeline.connections.iter().all(|&open| open == 7));
    }

    #[test]
    fn clocks_that_are_far_apart_make_long_steps_and_not_many() {
        let mut first = Timeline::new(0.0, Duration::from_millis(100));
        let mut second = Timeline::new(1.8e9, Duration::from_millis(100));
        first.note(Duration::from_secs(1), figures(30, 1));
        second.note(Duration::from_secs(1), figures(70, 1));
        let both = first.merge(&second);
        assert!(both.is_sound(), "{} steps", both.messages.len());
        assert_eq!(both.messages.iter().sum::<u64>(), 100);
    }

    #[test]
    fn two_together_have_the_messages_of_both_and_their_connections_while_both_run() {
        let mut first = Timeline::new(100.0, Duration::from_millis(100));
        let mut second = Timeline::new(105.0, Duration::from_millis(400));
        for tick in 1..=100 {
            first.note(Duration::from_millis(100) * tick, figures(u64::from(tick), 10));
            second.note(Duration::from_millis(100) * tick, figures(2 * u64::from(tick), 5));
        }
        let both = first.merge(&second);
        assert_eq!((both.began, both.step_seconds), (100.0, 0.4));
        assert_eq!(both.messages.iter().sum::<u64>(), 300);
        let at = |seconds: f64| both.connections[(seconds / 0.4) as usize];
        assert_eq!((at(2.0), at(7.0), at(12.0)), (10, 15, 5));
    }

    #[test]
    fn replies_are_in_the_step_they_came_in_however_late_they_are_noted() {
        let mut timeline = Timeline::new(0.0, Duration::from_millis(100));
        for tick in 1..=50_u64 {
            let late = 100 * tick + 7 * tick % 90;
            timeline.note(Duration::from_millis(late), figures(10 * late, 1));
        }
        let last = timeline.messages.len() - 1;
        for (step, messages) in timeline.messages[..last].iter().enumerate() {
            assert!((999..=1001).contains(messages), "{messages} in step {step}");
        }
    }

    #[test]
    fn the_last_step_is_as_long_as_there_was_time_left_for_it() {
        let mut timeline = Timeline::new(100.0, Duration::from_millis(100));
        for tick in 1..=36 {
            timeline.note(Duration::from_millis(10) * tick, figures(u64::from(tick), 1));
        }
        let whole = timeline.steps(100.36);
        assert_eq!(whole.len(), 4);
        assert!((whole[3].to - 0.36).abs() < 1e-6 && (whole[3].rate() - 100.0).abs() < 1.0);
        let short = timeline.steps(100.32);
        assert_eq!((short.len(), short.iter().map(|it| it.messages).sum()), (3, 36));
        assert!((short[2].to - 0.32).abs() < 1e-6);
        // A clock that was set back meanwhile does no more harm than that.
        assert_eq!(timeline.steps(0.0).len(), 2);
    }
}
