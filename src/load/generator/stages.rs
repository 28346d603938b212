//! How a generator goes from stage to stage.

use std::time::Instant;

use super::{Generator, is_past};
use crate::load::lane::Phase;
use crate::load::pace::{Pace, Schedule, Turns};
use crate::load::{News, Start};
use crate::sys;

/// How far the load has come, for one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Connections are opened.
    Opening,
    /// All that this thread can open are open.
    Ready,
    /// Messages are sent, and do not count until then.
    Warming(Instant),
    /// Messages are sent, and count.
    Counting,
    /// Time is up. Replies that are due may still come.
    TimeIsUp,
    /// All is said, and connections are held until then.
    Holding(Instant),
    /// They are echoed once more, and closed.
    LastEcho,
}

impl Generator<'_> {
    pub(super) fn has_started(&self) -> bool {
        !matches!(self.stage, Stage::Opening | Stage::Ready)
    }

    /// The connections of all threads are open: everybody talks.
    pub(super) fn start(&mut self, start: Start) {
        let Start { at, lanes, first } = start;
        if let Some(rate) = self.plan.rate {
            sys::wake_on_time();
            self.talk.pace = Pace::Open(Schedule { start: at, rate: rate as f64, lanes, first });
        }
        self.turns = Turns::new(self.lanes.tokens().collect());
        for (place, &token) in self.turns.order().iter().enumerate() {
            if let Some(lane) = self.lanes.get_mut(token) {
                lane.phase = Phase::Talking;
                (lane.part.place, lane.part.most) = (place as u32, u64::MAX);
                lane.part.warm_up();
            }
        }
        self.stage = Stage::Warming(at + self.plan.warmup);
        if self.plan.warmup.is_zero() {
            self.count(at);
        }
        self.visit_all(|talk, lane| talk.ask(lane, Instant::now()));
    }

    /// From here on messages count.
    fn count(&mut self, now: Instant) {
        self.stage = Stage::Counting;
        self.talk.count_from(now);
        self.talk.until = self.plan.duration.map(|duration| now + duration);
        for token in self.lanes.tokens().collect::<Vec<_>>() {
            if let Some(lane) = self.lanes.get_mut(token) {
                let uncounted = self.talk.asked_before(&lane.part, now);
                lane.part.begin_to_count(uncounted, self.plan.messages.unwrap_or(u64::MAX));
            }
        }
        self.say(News::Counting);
    }

    /// In an open loop: has those speak whose turn it is.
    pub(super) fn keep_pace(&mut self) {
        let Some(schedule) = self.schedule() else {
            return;
        };
        // Who has had a turn just now has nothing to say in another.
        for _ in 0..self.turns.order().len() {
            let now = Instant::now();
            match self.turns.take(&schedule, now) {
                Some(token) => self.visit(token, |talk, lane| talk.ask(lane, now)),
                None => return,
            }
        }
        self.turns.catch_up(&schedule, Instant::now());
    }

    /// The schedule, while there is one that is kept to.
    pub(super) fn schedule(&self) -> Option<Schedule> {
        match (self.stage, self.talk.pace) {
            (Stage::Warming(_) | Stage::Counting, Pace::Open(schedule)) => Some(schedule),
            _ => None,
        }
    }

    /// Goes on to the next stage, if it is time for that, and from there to the next.
    pub(super) fn move_on(&mut self) {
        loop {
            let before = self.stage;
            self.step();
            if self.stage == before {
                return;
            }
        }
    }

    fn step(&mut self) {
        let holds = self.talk.holds && self.resting == self.lanes.len() && self.resting > 0;
        match self.stage {
            Stage::Opening if self.opener.is_done() => {
                self.stage = Stage::Ready;
                self.say(News::Ready(self.number, self.lanes.len() as u64));
            }
            Stage::Warming(until) if is_past(until) => self.count(until),
            Stage::Counting | Stage::TimeIsUp if holds => self.hold(),
            Stage::Counting => match self.talk.until {
                Some(until) if is_past(until) => self.call_time(until),
                _ => {}
            },
            Stage::Holding(until) if is_past(until) || self.released => self.echo_once_more(),
            _ => {}
        }
    }

    /// It is too late to ask for more: who has all replies takes its leave.
    fn call_time(&mut self, until: Instant) {
        self.stage = Stage::TimeIsUp;
        self.visit_all(|talk, lane| talk.call_time(lane, until));
    }

    /// All is said: connections are held for a while.
    fn hold(&mut self) {
        let now = Instant::now();
        self.talk.pause();
        self.stage = Stage::Holding(now + self.plan.hold.unwrap_or_default());
        self.say(News::Holding);
    }

    /// What was held is echoed once more, and closed.
    fn echo_once_more(&mut self) {
        self.stage = Stage::LastEcho;
        self.resting = 0;
        self.talk.say_one_more(Instant::now());
        self.visit_all(|talk, lane| {
            (lane.phase, lane.part.most) = (Phase::Talking, lane.part.asked() + 1);
            talk.ask(lane, Instant::now())
        });
    }
}
