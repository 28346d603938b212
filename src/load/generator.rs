//! One thread of a load.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Sender;

use crate::load::demand::Demand;
use crate::load::lanes::Lanes;
use crate::load::mail::{News, Order};
use crate::load::outcome::Outcome;
use crate::load::payload::Payload;
use crate::load::plan::Plan;
use crate::load::progress::{Progress, ProgressCounters};
use crate::load::recorder::Recorder;
use crate::load::schedule::{Schedule, Start};
use crate::load::stage::Stage;
use crate::load::step::StepRecord;
use crate::net::mailbox::EventLoop;
use crate::net::poll::{EVENTS, Events};
use crate::net::sys;
use crate::net::token::Token;

/// One thread of a load: takes its share of the connections through the stages of a run.
#[derive(Debug)]
pub(crate) struct Generator<'a> {
    plan: Plan,
    /// Its number among the threads.
    number: usize,
    lanes: Lanes,
    stage: Stage,
    /// When messages began to count, if they do and there is a duration.
    demand: Option<Demand>,
    progress: &'a ProgressCounters,
    recorder: Recorder,
    news: Sender<News>,
}

impl<'a> Generator<'a> {
    pub(crate) fn new(
        event_loop: EventLoop<Order>,
        plan: Plan,
        payload: Arc<Payload>,
        number: usize,
        progress: &'a ProgressCounters,
        recorder: Recorder,
        news: Sender<News>,
    ) -> Generator<'a> {
        let lanes = Lanes::new(event_loop, &plan, number, payload);
        let (stage, demand) = (Stage::Opening, None);
        Generator { plan, number, lanes, stage, demand, progress, recorder, news }
    }

    /// Opens connections, sends messages from [`Order::Start`] on, and ends with the last
    /// connection. The last step, which has not ended, is returned apart.
    pub(crate) fn run(mut self) -> io::Result<(Outcome, StepRecord)> {
        let mut events = Events::with_capacity(EVENTS);
        while !self.is_over() {
            self.lanes.open_due();
            // One reading of the clock: a stage sends no message that is due in the next.
            let now = Instant::now();
            self.end_step(now);
            self.advance(now);
            self.send_due(now);
            self.publish_progress();
            // What was left may be closed by now, and then no event follows.
            if self.is_over() {
                break;
            }
            self.lanes.wait(&mut events, self.next_due(), self.recorder.left(now))?;
            self.read_mail();
            for event in events.iter().filter(|event| event.token() != Token::WAKE) {
                self.lanes.ready(event.token(), event);
            }
            self.lanes.check_timeouts();
        }
        // All connections have failed before messages count: what is due then is not sent.
        if self.stage == Stage::WarmingUp && !self.lanes.exchange.outcome.interrupted {
            self.enter(Stage::Counting);
        }
        if self.stage == Stage::Counting && !self.lanes.exchange.outcome.interrupted {
            self.count_unsent(self.lanes.exchange.until);
            self.fill_duration();
        }
        self.publish_progress();
        let mut outcome = self.lanes.exchange.outcome;
        let rest = self.recorder.take(0, &mut outcome);
        Ok((outcome, rest))
    }

    fn is_over(&self) -> bool {
        let has_started = self.stage >= Stage::WarmingUp;
        self.lanes.exchange.outcome.interrupted || has_started && self.lanes.is_empty()
    }

    fn end_step(&mut self, now: Instant) {
        let open = self.lanes.open_count() as u64;
        self.recorder.end_step(now, open, &mut self.lanes.exchange.outcome);
    }

    fn read_mail(&mut self) {
        for _ in 0..self.lanes.inbox().acknowledge() {
            match self.lanes.inbox().take() {
                Some(Order::Start(start)) => self.start(start),
                Some(Order::LastEcho) => self.enter(Stage::LastEcho),
                Some(Order::Stop) => self.stop(),
                None => break,
            }
        }
    }

    /// All generators have opened their connections: sending starts.
    fn start(&mut self, start: Start) {
        if self.plan.rate.is_some() || self.plan.think.is_some() {
            sys::wake_on_time();
        }
        if let Some(rate) = self.plan.rate {
            let Plan { arrival, arrival_seed, .. } = self.plan;
            let schedule = Schedule::new(start, rate, arrival, arrival_seed);
            self.lanes.exchange.schedule = Some(schedule);
        }
        self.lanes.exchange.warm_until = Some(start.at + self.plan.warmup);
        self.lanes.activate(start.own);
        let has_warmup = !self.plan.warmup.is_zero();
        self.enter(if has_warmup { Stage::WarmingUp } else { Stage::Counting });
    }

    /// Enters the next stage once it is due, and those after it that are due as well.
    fn advance(&mut self, now: Instant) {
        while let Some(stage) = self.next_stage(now) {
            self.enter(stage);
        }
    }

    /// The stage that follows by `now`. `WarmingUp` and `LastEcho` follow an order.
    fn next_stage(&self, now: Instant) -> Option<Stage> {
        let is_past = |moment: Option<Instant>| moment.is_some_and(|moment| moment <= now);
        match self.stage {
            Stage::Opening if self.lanes.has_opened_all() => Some(Stage::Opened),
            Stage::WarmingUp if is_past(self.lanes.exchange.warm_until) => Some(Stage::Counting),
            Stage::Counting | Stage::TimeUp if self.lanes.all_are_held() => Some(Stage::Holding),
            Stage::Counting if is_past(self.lanes.exchange.until) => Some(Stage::TimeUp),
            _ => None,
        }
    }

    /// Enters a stage: all that a run does, from top to bottom.
    fn enter(&mut self, stage: Stage) {
        let before = std::mem::replace(&mut self.stage, stage);
        self.report(stage);
        match stage {
            Stage::Opening | Stage::Opened | Stage::Over => {}
            Stage::WarmingUp => self.lanes.send_all(),
            Stage::Counting => {
                self.start_counting();
                self.lanes.send_all();
                self.demand = self.plan.duration.and_then(|_| Demand::now());
            }
            Stage::TimeUp => {
                if let Some(until) = self.lanes.exchange.until {
                    self.lanes.time_up(until);
                    self.lanes.exchange.extend_period(until);
                    self.count_unsent(Some(until));
                }
                let busy = self.demand.and_then(|demand| demand.share_since_then());
                self.lanes.exchange.outcome.busy = busy;
            }
            Stage::Holding => {
                if before == Stage::Counting {
                    self.count_unsent(self.lanes.exchange.until);
                }
                self.lanes.exchange.end_period();
            }
            Stage::LastEcho => {
                self.lanes.exchange.prepare_last_echo(Instant::now());
                self.lanes.release();
                self.lanes.send_all();
            }
        }
    }

    /// Messages count from the end of the warm-up. What was due before and not sent is
    /// skipped.
    fn start_counting(&mut self) {
        let now = self.lanes.exchange.warm_until.unwrap_or_else(Instant::now);
        let limit = self.plan.messages.unwrap_or(u64::MAX);
        self.lanes.exchange.start_period(now);
        self.lanes.exchange.until = self.plan.duration.map(|duration| now + duration);
        self.lanes.start_counting(now, limit);
    }

    /// No connection is left. If all have failed before the duration is over, the rate is that of
    /// the whole duration all the same.
    fn fill_duration(&mut self) {
        let exchange = &mut self.lanes.exchange;
        if let (None, Some(until)) = (self.plan.messages, exchange.until) {
            let left = until.saturating_duration_since(Instant::now());
            exchange.extend_period(until);
            let ended_after = exchange.outcome.time.saturating_sub(left);
            exchange.outcome.ended_early = (!left.is_zero()).then_some(ended_after);
        }
    }

    /// In an open loop: counts the messages that were due by `until`, or ever, and were
    /// not sent, also those of closed connections.
    fn count_unsent(&mut self, until: Option<Instant>) {
        let exchange = &self.lanes.exchange;
        let (Some(since), Some(_)) = (exchange.counts_since(), exchange.schedule) else {
            return;
        };
        let limit = self.plan.messages.unwrap_or(u64::MAX);
        let due = |place| {
            let before = |moment| exchange.due_before(place, moment);
            until.map_or(limit, |until| before(until).saturating_sub(before(since)).min(limit))
        };
        let due: u64 = (0..self.lanes.order.tokens().len() as u32).map(due).sum();
        self.lanes.exchange.outcome.unsent = due.saturating_sub(self.lanes.counted());
    }

    /// Has the connections send whose think time is over, or in an open loop whose messages are
    /// due.
    fn send_due(&mut self, now: Instant) {
        while let Some(token) = self.lanes.thinking.take_due(now) {
            self.lanes.update(token, |exchange, lane| exchange.send(lane, Instant::now()));
        }
        let Some(schedule) = self.schedule() else {
            return;
        };
        // In one round each connection sends all of its messages that are due.
        for _ in 0..self.lanes.order.tokens().len() {
            match self.lanes.order.take_due(&schedule, now) {
                Some(token) => {
                    self.lanes.update(token, |exchange, lane| exchange.send(lane, Instant::now()));
                }
                None => return,
            }
        }
        self.lanes.order.skip_missed_rounds(&schedule, now);
    }

    /// The schedule, while messages are sent on one.
    fn schedule(&self) -> Option<Schedule> {
        let is_sending = matches!(self.stage, Stage::WarmingUp | Stage::Counting);
        self.lanes.exchange.schedule.filter(|_| is_sending)
    }

    /// When the next stage or message is due.
    fn next_due(&self) -> Option<Instant> {
        let stage = match self.stage {
            Stage::WarmingUp => self.lanes.exchange.warm_until,
            Stage::Counting => self.lanes.exchange.until,
            _ => None,
        };
        let message = self.schedule().and_then(|schedule| self.lanes.order.next_due(&schedule));
        [stage, message, self.lanes.thinking.next_due()].into_iter().flatten().min()
    }

    fn stop(&mut self) {
        let now = Instant::now();
        if self.stage == Stage::Counting {
            self.count_unsent(Some(now));
        }
        self.lanes.interrupt(now);
    }

    fn publish_progress(&self) {
        let outcome = &self.lanes.exchange.outcome;
        self.progress.set(Progress {
            opened: outcome.connections.opened,
            open: self.lanes.open_count() as u64,
            messages: outcome.messages,
            errors: outcome.errors + outcome.mismatches,
            port_shortages: self.lanes.port_shortages(),
        });
    }

    /// Reports that a stage has begun, and the progress before it.
    fn report(&self, stage: Stage) {
        self.publish_progress();
        let (number, lanes) = (self.number, self.lanes.len() as u64);
        // Nobody receives it if the program does not wait for the load to end.
        let _ = self.news.send(News::Entered { number, stage, lanes });
    }
}
