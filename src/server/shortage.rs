//! A time in which connections have to wait, and what the operator is told of it.

use std::fmt;
use std::time::{Duration, Instant};

/// Why connections have to wait.
#[derive(Debug)]
pub(crate) enum Cause {
    /// This many connections are open, and more are not allowed.
    Full(usize),
    /// Descriptors or memory are used up: the error of `accept`.
    Exhausted(String),
}

/// A time in which connections have to wait for one cause, if there is one now.
///
/// The operator is told once when it begins, once per minute while it lasts, and once when it
/// is over. Accepting may pause and go on a thousand times per second meanwhile, so it is over
/// only once accepting has not paused for [`CALM`].
#[derive(Debug, Default)]
pub(crate) struct Shortage(Option<Lasting>);

#[derive(Debug)]
struct Lasting {
    cause: Cause,
    began: Instant,
    /// When accepting went on, unless it pauses now.
    resumed: Option<Instant>,
    /// When the last line was due.
    told: Instant,
    /// How many connections had to wait and were accepted.
    accepted: u64,
}

const EVERY: Duration = Duration::from_secs(60);
/// A shortage lasts at least this long, however often accepting pauses, so that its first and
/// last lines are few.
const CALM: Duration = Duration::from_secs(2);

impl Shortage {
    /// Accepting pauses. Returns a line if the shortage begins with that.
    pub(crate) fn pause(&mut self, now: Instant, cause: Cause) -> Option<String> {
        if let Some(lasting) = &mut self.0 {
            lasting.resumed = None;
            return None;
        }
        let line = cause.to_string();
        self.0 = Some(Lasting { cause, began: now, resumed: None, told: now, accepted: 0 });
        Some(line)
    }

    /// Accepting goes on.
    pub(crate) fn resume(&mut self, now: Instant) {
        if let Some(lasting) = &mut self.0 {
            lasting.resumed.get_or_insert(now);
        }
    }

    /// A connection that had to wait was accepted.
    pub(crate) fn count_accepted(&mut self) {
        if let Some(lasting) = &mut self.0 {
            lasting.accepted += 1;
        }
    }

    /// When the next line is due.
    pub(crate) fn next_line(&self) -> Option<Instant> {
        let lasting = self.0.as_ref()?;
        let over = lasting.resumed.map(|resumed| resumed + CALM);
        over.into_iter().chain([lasting.told + EVERY]).min()
    }

    /// Returns the line that is due by now. `waiting` connections wait to be accepted.
    pub(crate) fn tell(&mut self, now: Instant, waiting: impl FnOnce() -> u32) -> Option<String> {
        self.next_line().filter(|due| *due <= now)?;
        let lasting = self.0.as_mut()?;
        if let Some(resumed) = lasting.resumed.filter(|resumed| *resumed + CALM <= now) {
            let line = lasting.last_line(resumed);
            self.0 = None;
            return Some(line);
        }
        lasting.told = now;
        Some(lasting.line(now, waiting().into()))
    }
}

impl Lasting {
    fn line(&self, now: Instant, waiting: u64) -> String {
        let (seconds, all) = ((now - self.began).as_secs(), self.accepted + waiting);
        format!("{}: for {seconds} s now, {all} had to wait, {waiting} still do", self.cause)
    }

    fn last_line(&self, resumed: Instant) -> String {
        let (seconds, all) = ((resumed - self.began).as_secs_f64(), self.accepted);
        match &self.cause {
            Cause::Full(most) => {
                format!(
                    "fewer than {most} connections are open again, after {seconds:.1} s: {all} had to wait"
                )
            }
            Cause::Exhausted(_) => {
                format!("can accept again, after {seconds:.1} s: {all} had to wait")
            }
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Full(most) => write!(f, "{most} connections are open, more have to wait"),
            Cause::Exhausted(error) => write!(f, "cannot accept, will try again: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// What is told by that time, in seconds, while two connections wait.
    fn told(shortage: &mut Shortage, start: Instant, seconds: f64) -> Option<String> {
        shortage.tell(start + SECOND.mul_f64(seconds), || 2)
    }

    #[test]
    fn a_shortage_is_told_of_when_it_begins_once_per_minute_and_when_it_is_over() {
        let (mut shortage, start) = (Shortage::default(), Instant::now());
        assert_eq!(shortage.next_line(), None);
        let line = shortage.pause(start, Cause::Full(9));
        assert_eq!(line.as_deref(), Some("9 connections are open, more have to wait"));
        assert_eq!(told(&mut shortage, start, 59.9), None);
        let line =
            "9 connections are open, more have to wait: for 60 s now, 2 had to wait, 2 still do";
        assert_eq!(told(&mut shortage, start, 60.0).as_deref(), Some(line));
        assert_eq!(told(&mut shortage, start, 119.9), None);
        shortage.count_accepted();
        let line =
            "9 connections are open, more have to wait: for 120 s now, 3 had to wait, 2 still do";
        assert_eq!(told(&mut shortage, start, 120.0).as_deref(), Some(line));
        shortage.resume(start + 130 * SECOND);
        assert_eq!(told(&mut shortage, start, 131.9), None);
        assert_eq!(shortage.next_line(), Some(start + 132 * SECOND));
        let line = "fewer than 9 connections are open again, after 130.0 s: 1 had to wait";
        assert_eq!(told(&mut shortage, start, 132.0).as_deref(), Some(line));
        assert_eq!((shortage.next_line(), told(&mut shortage, start, 999.0)), (None, None));
    }

    #[test]
    fn a_pause_a_thousand_times_per_second_is_one_shortage() {
        let (mut shortage, start) = (Shortage::default(), Instant::now());
        let mut lines = Vec::new();
        for millisecond in 0..150_000 {
            let now = start + SECOND / 1000 * millisecond;
            lines.extend(shortage.pause(now, Cause::Exhausted("no more".to_owned())));
            shortage.resume(now + SECOND / 2000);
            shortage.count_accepted();
            lines.extend(shortage.tell(now + SECOND / 1500, || 0));
        }
        lines.extend(told(&mut shortage, start, 153.0));
        assert_eq!(
            lines,
            [
                "cannot accept, will try again: no more",
                "cannot accept, will try again: no more: for 60 s now, 60001 had to wait, 0 still do",
                "cannot accept, will try again: no more: for 120 s now, 120001 had to wait, 0 still do",
                "can accept again, after 150.0 s: 150000 had to wait",
            ]
        );
    }
}
