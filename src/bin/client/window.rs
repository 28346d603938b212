//! What a load did in the last interval, while it runs.

use std::fmt;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use reactor_server::load::StepRecord;

use crate::readable;
use crate::report::Distribution;

/// Adds up the steps of a load until an interval is over, and begins again.
#[derive(Debug)]
pub(crate) struct Window {
    interval: Duration,
    /// When the interval is over. It lasts to the end of the step in which that is.
    due: Instant,
    figures: Figures,
}

/// The figures of an interval.
#[derive(Debug)]
pub(crate) struct Figures {
    began: Instant,
    ended: Instant,
    pub(crate) errors: u64,
    latency: Distribution,
}

impl Window {
    pub(crate) fn new(interval: Duration, began: Instant) -> Window {
        Window { interval, due: began + interval, figures: Figures::new(began) }
    }

    /// Begins an interval now. What was before is in none.
    pub(crate) fn restart(&mut self) {
        *self = Window::new(self.interval, Instant::now());
    }

    /// Adds a step, and returns the figures of the interval if it is over.
    pub(crate) fn add(&mut self, step: &StepRecord) -> Option<Figures> {
        if step.ended <= self.figures.began {
            return None;
        }
        self.figures.add(step);
        (step.ended >= self.due).then(|| {
            while self.due <= step.ended {
                self.due += self.interval;
            }
            std::mem::replace(&mut self.figures, Figures::new(step.ended))
        })
    }

    /// Returns the figures since the interval began.
    pub(crate) fn so_far(&self) -> &Figures {
        &self.figures
    }
}

impl Figures {
    fn new(began: Instant) -> Figures {
        let latency = Histogram::new(3).expect("the digits are valid");
        Figures { began, ended: began, errors: 0, latency: Distribution(latency) }
    }

    fn add(&mut self, step: &StepRecord) {
        self.ended = step.ended;
        self.errors += step.errors;
        if let Some(latency) = &step.latency {
            self.latency.0 += latency;
        }
    }

    /// Returns whether a reply has arrived.
    pub(crate) fn has_replies(&self) -> bool {
        !self.latency.is_empty()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = (self.ended - self.began).as_secs_f64().max(0.001);
        let rate = self.latency.len() as f64 / seconds;
        write!(f, "{} per second  ", readable::number(rate))?;
        if self.has_replies() {
            let [p50, p99] = [50.0, 99.0].map(|it| readable::micros(self.latency.percentile(it)));
            write!(f, "p50 {p50}  p99 {p99}  ")?;
        }
        f.write_str(&readable::counted(self.errors, "error", "errors"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    fn step(ended: Instant, replies: u64, errors: u64) -> StepRecord {
        let latency = (replies > 0).then(|| {
            let mut latency = Histogram::new(3).expect("a histogram");
            latency.record_n(2000 * replies, replies).expect("it fits");
            latency
        });
        StepRecord { number: 0, ended, latency, open: 0, errors, reopened: 0 }
    }

    #[test]
    fn an_interval_shows_its_own_steps_and_no_others() {
        let began = Instant::now();
        let mut window = Window::new(3 * STEP, began);
        // A step that had ended before, and one of which half was before.
        let ends = [-1, 1, 3, 5, 7, 9, 11, 13].map(|halves: i32| match halves {
            -1 => began - STEP / 2,
            halves => began + halves as u32 * STEP / 2,
        });
        let replies = [1000, 10, 10, 10, 15, 0, 0, 0];
        let mut lines = Vec::new();
        for (number, (end, replies)) in ends.into_iter().zip(replies).enumerate() {
            let errors = u64::from(number == 6);
            lines.extend(window.add(&step(end, replies, errors)).map(|it| it.to_string()));
        }
        // 45 replies in 350 ms; then none, within 300 ms.
        let expected =
            ["129 per second  p50 20.0 us  p99 30.0 us  0 errors", "0 per second  1 error"];
        assert_eq!(lines, expected);
    }
}
