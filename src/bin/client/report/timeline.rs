//! The progress of a run over time.

use std::time::Duration;

use reactor_server::load::Progress;
use serde::{Deserialize, Serialize};

/// Replies and open connections over time. The steps grow longer in a long run, so that
/// their number is bounded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Timeline {
    /// When the run began, in seconds since 1970.
    pub(crate) began: f64,
    /// The length of a step.
    pub(crate) step_seconds: f64,
    /// Replies in each step.
    pub(crate) messages: Vec<u64>,
    /// Open connections at the end of each step.
    pub(crate) connections: Vec<u64>,
    /// How many replies there were at the last record.
    #[serde(skip)]
    recorded: u64,
    /// When that was, in seconds since the beginning.
    #[serde(skip)]
    recorded_at: f64,
}

/// The most steps: more than a chart can show.
const STEPS: usize = 600;
/// The shortest time that a rate is taken over, so that it is never infinite.
const MIN_SECONDS: f64 = 1e-9;

impl Timeline {
    pub(crate) fn new(began: f64, step: Duration) -> Timeline {
        let (messages, connections, recorded, recorded_at) = Default::default();
        let step_seconds = step.as_secs_f64();
        Timeline { began, step_seconds, messages, connections, recorded, recorded_at }
    }

    /// Records the progress at this time after the beginning.
    pub(crate) fn record(&mut self, elapsed: Duration, progress: Progress) {
        let now = elapsed.as_secs_f64();
        while now >= self.step_seconds * STEPS as f64 {
            self.halve();
        }
        let step = (now / self.step_seconds) as usize;
        while self.messages.len() <= step {
            self.messages.push(0);
            self.connections.push(progress.open);
        }
        self.connections[step] = progress.open;
        self.spread(progress.messages - self.recorded, now);
        (self.recorded, self.recorded_at) = (progress.messages, now);
    }

    /// Spreads the replies since the last record evenly over that time.
    ///
    /// To count all of them in the step of this record would be late by one step, and would
    /// leave a step without replies wherever a record is a little late.
    fn spread(&mut self, mut messages: u64, now: f64) {
        let (mut from, step) = (self.recorded_at, self.step_seconds);
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

    /// Merges two timelines, in the longer of their steps.
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

    /// Whether this program can have written it.
    pub(crate) fn is_sound(&self) -> bool {
        let steps = self.messages.len();
        steps == self.connections.len()
            && steps <= STEPS + 1
            && (0.001..1e9).contains(&self.step_seconds)
    }

    fn end(&self) -> f64 {
        self.began + self.step_seconds * self.messages.len() as f64
    }

    /// Adds the replies of each step where its middle lies in `sum`, and to each step of
    /// `sum` the connections that were open at its middle.
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

    /// The steps of a run that ended at this time, in seconds since 1970.
    ///
    /// The last step ends with the run, so that its rate is right. If it is shorter than half
    /// of a step, its rate would mean little: it is joined to the one before.
    pub(crate) fn steps(&self, ended: f64) -> Vec<Step> {
        let (step, end) = (self.step_seconds, ended - self.began);
        let from = (0..).map(|index| f64::from(index) * step);
        let counts = self.messages.iter().zip(&self.connections);
        let mut steps: Vec<_> = from
            .zip(counts)
            .map(|(from, (&messages, &open))| Step { from, to: from + step, messages, open })
            .collect();
        // In merged results, whose steps do not begin together, up to two are too short.
        for _ in 0..2 {
            if let [.., before, last] = &mut steps[..]
                && end - last.from < step / 2.0
            {
                *before = before.join(last);
                steps.pop();
            }
        }
        if let Some(last) = steps.last_mut().filter(|last| last.from < end) {
            last.to = last.to.min(end);
        }
        steps
    }
}

/// A step of time, in seconds since the beginning.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// Replies received in it.
    pub(crate) messages: u64,
    /// Open connections at its end.
    pub(crate) open: u64,
}

impl Step {
    /// Joins this step and the next.
    pub(crate) fn join(&self, next: &Step) -> Step {
        Step { from: self.from, messages: self.messages + next.messages, ..*next }
    }

    /// Replies per second.
    pub(crate) fn rate(&self) -> f64 {
        per_second(self.messages, self.to - self.from)
    }
}

/// A count per second, or 0 if no time has passed.
pub(crate) fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds.max(MIN_SECONDS) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(messages: u64, open: u64) -> Progress {
        Progress { messages, open, ..Progress::default() }
    }

    #[test]
    fn a_long_run_has_few_steps_and_loses_no_message() {
        let mut timeline = Timeline::new(0.0, Duration::from_millis(100));
        for tick in 1..=100_000 {
            timeline.record(Duration::from_millis(100) * tick, progress(u64::from(tick) * 3, 7));
        }
        assert!(timeline.messages.len() <= STEPS && timeline.messages.len() > STEPS / 4);
        assert_eq!(timeline.messages.iter().sum::<u64>(), 300_000);
        assert!(timeline.connections.iter().all(|&open| open == 7));
    }

    #[test]
    fn clocks_that_differ_widely_make_long_steps_but_few() {
        let mut first = Timeline::new(0.0, Duration::from_millis(100));
        let mut second = Timeline::new(1.8e9, Duration::from_millis(100));
        first.record(Duration::from_secs(1), progress(30, 1));
        second.record(Duration::from_secs(1), progress(70, 1));
        let both = first.merge(&second);
        assert!(both.is_sound(), "{} steps", both.messages.len());
        assert_eq!(both.messages.iter().sum::<u64>(), 100);
    }

    #[test]
    fn merged_timelines_have_the_messages_and_connections_of_both() {
        let mut first = Timeline::new(100.0, Duration::from_millis(100));
        let mut second = Timeline::new(105.0, Duration::from_millis(400));
        for tick in 1..=100 {
            first.record(Duration::from_millis(100) * tick, progress(u64::from(tick), 10));
            second.record(Duration::from_millis(100) * tick, progress(2 * u64::from(tick), 5));
        }
        let both = first.merge(&second);
        assert_eq!((both.began, both.step_seconds), (100.0, 0.4));
        assert_eq!(both.messages.iter().sum::<u64>(), 300);
        let at = |seconds: f64| both.connections[(seconds / 0.4) as usize];
        assert_eq!((at(2.0), at(7.0), at(12.0)), (10, 15, 5));
    }

    #[test]
    fn replies_are_counted_in_their_step_even_if_they_are_recorded_late() {
        let mut timeline = Timeline::new(0.0, Duration::from_millis(100));
        for tick in 1..=50_u64 {
            let late = 100 * tick + 7 * tick % 90;
            timeline.record(Duration::from_millis(late), progress(10 * late, 1));
        }
        let last = timeline.messages.len() - 1;
        for (step, messages) in timeline.messages[..last].iter().enumerate() {
            assert!((999..=1001).contains(messages), "{messages} in step {step}");
        }
    }

    #[test]
    fn the_last_step_ends_with_the_run() {
        let mut timeline = Timeline::new(100.0, Duration::from_millis(100));
        for tick in 1..=36 {
            timeline.record(Duration::from_millis(10) * tick, progress(u64::from(tick), 1));
        }
        let whole = timeline.steps(100.36);
        assert_eq!(whole.len(), 4);
        assert!((whole[3].to - 0.36).abs() < 1e-6 && (whole[3].rate() - 100.0).abs() < 1.0);
        let short = timeline.steps(100.32);
        assert_eq!((short.len(), short.iter().map(|it| it.messages).sum()), (3, 36));
        assert!((short[2].to - 0.32).abs() < 1e-6);
        // The clock was set back during the run.
        assert_eq!(timeline.steps(0.0).len(), 2);
    }
}
