//! How a generator goes from stage to stage.

use std::time::Instant;

use super::Generator;
use crate::load::lane::Phase;
use crate::load::schedule::{Pace, Schedule, Turns};
use crate::load::{Start, Stretch};
use crate::net::sys;

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
    /// All is said, and connections are held until we are told.
    Holding,
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
        self.talk.warm_until = Some(at + self.plan.warmup);
        if self.plan.warmup.is_zero() {
            self.count(at);
        }
        self.visit_all(|talk, lane| talk.ask(lane, Instant::now()));
    }

    /// From here on messages count. What was due before, and not sent, is not sent.
    fn count(&mut self, now: Instant) {
        self.stage = Stage::Counting;
        self.talk.count_from(now);
        self.talk.until = self.plan.duration.map(|duration| now + duration);
        let most = self.plan.messages.unwrap_or(u64::MAX);
        for token in self.lanes.tokens().collect::<Vec<_>>() {
            if let Some(lane) = self.lanes.get_mut(token) {
                let due = self.talk.due_before(lane.part.place, now);
                lane.part.begin_to_count(due, most);
            }
        }
        self.turns.rounds = self.talk.due_before(0, now).saturating_add(most).saturating_add(1);
        self.say(Stretch::Counting);
    }

    /// In an open loop: counts the messages that were due by `until`, or ever, and were
    /// not sent; those of connections that are gone, too.
    pub(super) fn count_unsent(&mut self, until: Option<Instant>) {
        let (Some(since), Pace::Open(_)) = (self.talk.counted_since(), self.talk.pace) else {
            return;
        };
        let most = self.plan.messages.unwrap_or(u64::MAX);
        let due = |place| {
            let before = |moment| self.talk.due_before(place, moment);
            until.map_or(most, |until| before(until).saturating_sub(before(since)).min(most))
        };
        let due: u64 = (0..self.turns.order().len() as u32).map(due).sum();
        let mut asked = self.talk.asked_by_the_gone;
        for token in self.lanes.tokens().collect::<Vec<_>>() {
            asked += self.lanes.get_mut(token).map_or(0, |lane| lane.part.counted());
        }
        self.talk.outcome.unsent = due.saturating_sub(asked);
    }

    /// In an open loop: has those speak whose turn it is.
    pub(super) fn keep_pace(&mut self, now: Instant) {
        let Some(schedule) = self.schedule() else {
            return;
        };
        // Who has had a turn just now has nothing to say in another.
        for _ in 0..self.turns.order().len() {
            match self.turns.take(&schedule, now) {
                Some(token) => self.visit(token, |talk, lane| talk.ask(lane, Instant::now())),
                None => return,
            }
        }
        self.turns.catch_up(&schedule, now);
    }

    /// The schedule, while there is one that is kept to.
    pub(super) fn schedule(&self) -> Option<Schedule> {
        match (self.stage, self.talk.pace) {
            (Stage::Warming(_) | Stage::Counting, Pace::Open(schedule)) => Some(schedule),
            _ => None,
        }
    }

    /// Goes on to the next stage, if it is time for that, and from there to the next.
    pub(super) fn move_on(&mut self, now: Instant) {
        loop {
            let before = self.stage;
            self.step(now);
            if self.stage == before {
                return;
            }
        }
    }

    fn step(&mut self, now: Instant) {
        let holds = self.talk.holds && self.resting == self.lanes.len() && self.resting > 0;
        match self.stage {
            Stage::Opening if self.opener.is_done() => {
                self.stage = Stage::Ready;
                self.say(Stretch::Open(self.lanes.len() as u64));
            }
            Stage::Warming(until) if until <= now => {
                self.count(until);
                self.visit_all(|talk, lane| talk.ask(lane, Instant::now()));
            }
            Stage::Counting | Stage::TimeIsUp if holds => self.hold(),
            Stage::Counting => match self.talk.until {
                Some(until) if until <= now => self.call_time(until),
                _ => {}
            },
            _ => {}
        }
    }

    /// It is too late to ask for more: who has all replies takes its leave.
    fn call_time(&mut self, until: Instant) {
        self.stage = Stage::TimeIsUp;
        self.visit_all(|talk, lane| talk.call_time(lane, until));
        self.count_unsent(Some(until));
    }

    /// All is said: connections are held for a while.
    fn hold(&mut self) {
        if self.stage == Stage::Counting {
            self.count_unsent(self.talk.until);
        }
        self.talk.pause();
        self.stage = Stage::Holding;
        self.say(Stretch::Holding);
    }

    /// What was held is echoed once more, and closed.
    pub(super) fn echo_once_more(&mut self) {
        self.stage = Stage::LastEcho;
        self.resting = 0;
        self.talk.say_one_more(Instant::now());
        self.visit_all(|talk, lane| {
            (lane.phase, lane.part.most) = (Phase::Talking, lane.part.asked() + 1);
            talk.ask(lane, Instant::now())
        });
    }
}
