//! One thread of a load.

mod stages;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::load::lane::{Failure, Lane, Part, Phase};
use crate::load::opener::Opener;
use crate::load::schedule::Turns;
use crate::load::script::Script;
use crate::load::talk::{Fate, Talk};
use crate::load::{News, Order, Outcome, Plan, Progress, Stretch};
use crate::net::clock::Clock;
use crate::net::mailbox::EventLoop;
use crate::net::poll::{EVENTS, Event, Events, Poll};
use crate::net::slab::Slab;
use crate::net::timer_wheel::TimerWheel;
use crate::net::token::Token;
use stages::Stage;

/// One thread of a load: it opens its share of the connections, and has all of
/// them talk.
#[derive(Debug)]
pub(crate) struct Generator<'a> {
    plan: Plan,
    /// Its number among the threads.
    number: usize,
    event_loop: EventLoop<Order>,
    lanes: Slab<Lane>,
    talk: Talk,
    progress: &'a Progress,
    tell: Sender<News>,
    stage: Stage,
    opener: Opener,
    /// How many connections are held.
    resting: usize,
    turns: Turns,
    clock: Clock,
    deadlines: TimerWheel,
}

impl<'a> Generator<'a> {
    pub(crate) fn new(
        event_loop: EventLoop<Order>,
        plan: Plan,
        script: Arc<Script>,
        number: usize,
        progress: &'a Progress,
        tell: Sender<News>,
    ) -> Generator<'a> {
        let (lanes, resting, turns) = Default::default();
        let (talk, opener) = (Talk::new(&plan, script), Opener::new(&plan, number));
        Generator {
            plan,
            number,
            event_loop,
            lanes,
            talk,
            progress,
            tell,
            stage: Stage::Opening,
            opener,
            resting,
            turns,
            clock: Clock::new(),
            deadlines: TimerWheel::new(),
        }
    }

    /// Opens connections, talks from [`Order::Start`] on, and ends with the last
    /// connection.
    pub(crate) fn run(mut self) -> io::Result<Outcome> {
        let mut events = Events::with_capacity(EVENTS);
        while !self.is_over() {
            self.connect_more();
            // By one clock: no turn of a stage is taken in the one before.
            let now = Instant::now();
            self.move_on(now);
            self.keep_pace(now);
            self.show_progress();
            self.event_loop.wait(&mut events, self.timeout())?;
            self.read_mail();
            for event in events.iter() {
                match event.token() {
                    Token::WAKE => {}
                    token => self.ready(token, event),
                }
            }
            self.look_at_the_clock();
        }
        if self.stage == Stage::Counting && !self.talk.outcome.interrupted {
            self.count_unsent(self.talk.until);
        }
        self.show_progress();
        Ok(self.talk.outcome)
    }

    fn is_over(&self) -> bool {
        self.talk.outcome.interrupted || self.has_started() && self.lanes.is_empty()
    }

    fn read_mail(&mut self) {
        for _ in 0..self.event_loop.inbox.acknowledge() {
            match self.event_loop.inbox.take() {
                Some(Order::Start(start)) => self.start(start),
                Some(Order::LastEcho) => self.echo_once_more(),
                Some(Order::Stop) => self.stop(),
                None => break,
            }
        }
    }

    fn show_progress(&self) {
        let outcome = &self.talk.outcome;
        self.progress.opened.set(outcome.connections.opened);
        self.progress.open.set((self.lanes.len() - self.opener.connecting) as u64);
        self.progress.messages.set(outcome.messages);
        self.progress.errors.set(outcome.errors + outcome.mismatches);
    }

    fn say(&self, reached: Stretch) {
        // Nobody hears it if the program ends without waiting for us.
        let _ = self.tell.send(News::Reached(self.number, reached));
    }

    /// Opens as many connections as it is time for.
    fn connect_more(&mut self) {
        for _ in 0..self.opener.room() {
            if !self.opener.due().is_some_and(is_past) {
                break;
            }
            let number = self.opener.next();
            match self.opener.connect() {
                Ok(socket) => self.take_in(Lane::new(socket, Part::new(number), Instant::now())),
                Err(failure) => self.fail(&failure),
            }
        }
    }

    fn take_in(&mut self, lane: Lane) {
        let place = lane.part.place;
        let token = self.lanes.insert(lane);
        self.turns.replace(place, token);
        self.opener.connecting += 1;
        self.visit(token, |_, _| Ok(Fate::Stays));
        let soon = self.plan.connect_timeout.min(self.plan.timeout);
        let now = self.clock.now();
        self.deadlines.arm(token, now.after(soon), now);
    }

    fn ready(&mut self, token: Token, event: Event) {
        match self.lanes.get_mut(token).map(|lane| lane.phase) {
            Some(Phase::Connecting) => self.connected(token),
            _ => self.visit(token, |talk, lane| talk.ready(lane, event)),
        }
    }

    fn connected(&mut self, token: Token) {
        let (began, is_first) = (self.opener.began, !self.has_started());
        let mut is_open = false;
        self.visit(token, |talk, lane| {
            lane.connected()?;
            is_open = true;
            let connections = &mut talk.outcome.connections;
            if is_first {
                connections.opened += 1;
                connections.time = began.elapsed();
                return Ok(Fate::Stays);
            }
            connections.reopened += 1;
            lane.phase = Phase::Talking;
            talk.ask(lane, Instant::now())
        });
        self.opener.connecting -= usize::from(is_open);
    }

    fn stop(&mut self) {
        let now = Instant::now();
        if self.stage == Stage::Counting {
            self.count_unsent(Some(now));
        }
        self.talk.interrupt(now);
        for token in self.lanes.tokens().collect::<Vec<_>>() {
            self.close(token);
        }
    }

    fn visit_all(&mut self, act: impl Fn(&mut Talk, &mut Lane) -> Result<Fate, Failure>) {
        for token in self.lanes.tokens().collect::<Vec<_>>() {
            self.visit(token, &act);
        }
    }

    /// Does something with one connection, and what follows from it.
    fn visit(
        &mut self,
        token: Token,
        act: impl FnOnce(&mut Talk, &mut Lane) -> Result<Fate, Failure>,
    ) {
        let Some(lane) = self.lanes.get_mut(token) else {
            return;
        };
        let result = act(&mut self.talk, lane);
        match result.and_then(|fate| watch(&self.event_loop.poll, lane, token).map(|()| fate)) {
            Ok(Fate::Stays) => {}
            Ok(Fate::Rests) => self.resting += 1,
            Ok(Fate::Returns) => self.come_back(token),
            Ok(Fate::Ends) => self.close(token),
            Err(failure) => {
                self.fail(&failure);
                self.close(token);
            }
        }
    }

    fn fail(&mut self, failure: &Failure) {
        self.talk.count_failure(failure);
        if !self.has_started() && failure.to_connect().is_some() {
            self.talk.outcome.connections.failed += 1;
        }
    }

    /// A connection has had its messages: another takes its place.
    fn come_back(&mut self, token: Token) {
        let Some(Lane { connection, mut part, .. }) = self.lanes.remove(token) else {
            return;
        };
        part.add(connection.tally());
        // Its descriptor is free before the next is asked for.
        drop(connection);
        match self.opener.connect() {
            Ok(socket) => self.take_in(Lane::new(socket, part, Instant::now())),
            Err(failure) => {
                self.fail(&failure);
                self.talk.gone(&part);
            }
        }
    }

    fn close(&mut self, token: Token) {
        let Some(mut lane) = self.lanes.remove(token) else {
            return;
        };
        match lane.phase {
            Phase::Connecting => self.opener.connecting -= 1,
            Phase::Resting => self.resting -= 1,
            _ => {}
        }
        lane.part.add(lane.connection.tally());
        self.talk.gone(&lane.part);
    }

    /// Has a connection come up when what it waits for is overdue, or when there
    /// is nothing it waits for, to see whether there is then.
    fn time(&mut self, token: Token) {
        if let Some(due) = self.due(token) {
            self.deadlines.arm(token, self.clock.at(due), self.clock.now());
        }
    }

    fn due(&mut self, token: Token) -> Option<Instant> {
        let lane = self.lanes.get_mut(token)?;
        let limit = match lane.phase {
            Phase::Connecting => self.plan.connect_timeout,
            _ => self.plan.timeout,
        };
        Some(lane.waits_since().unwrap_or_else(Instant::now) + limit)
    }

    fn look_at_the_clock(&mut self) {
        let now = self.clock.now();
        if self.deadlines.next().is_some_and(|next| next <= now) {
            let mut due = Vec::new();
            self.deadlines.expire(now, &mut due);
            due.into_iter().for_each(|token| self.look_at(token));
        }
    }

    fn look_at(&mut self, token: Token) {
        match self.due(token) {
            // Perhaps it is we who are late.
            Some(due) if is_past(due) && self.is_open_by_now(token) => {
                self.connected(token);
                self.time(token);
            }
            Some(due) if is_past(due) => self.visit(token, |_, lane| Err(lane.overdue())),
            Some(_) => self.time(token),
            None => {}
        }
    }

    /// Whether a connection that we take to be opening is open.
    fn is_open_by_now(&mut self, token: Token) -> bool {
        self.lanes.get_mut(token).is_some_and(|lane| {
            lane.phase == Phase::Connecting && lane.connection.socket().peer_addr().is_ok()
        })
    }

    fn timeout(&self) -> Option<Duration> {
        let connect = self.opener.due().filter(|_| self.opener.room() > 0);
        let stage = match self.stage {
            Stage::Warming(until) => Some(until),
            Stage::Counting => self.talk.until,
            _ => None,
        };
        let turn = self.schedule().and_then(|schedule| self.turns.due(&schedule));
        let moment = [connect, stage, turn].into_iter().flatten().min();
        let until = |moment: Instant| moment.saturating_duration_since(Instant::now());
        let deadline = self.deadlines.next().map(|next| self.clock.now().until(next));
        [moment.map(until), deadline].into_iter().flatten().min()
    }
}

/// Has epoll follow the state that a connection is in now.
fn watch(poll: &Poll, lane: &mut Lane, token: Token) -> Result<(), Failure> {
    let (interest, socket) = (lane.interest(), lane.connection.socket());
    poll.watch(socket, token, &mut lane.watched, interest).map_err(|error| match lane.phase {
        Phase::Connecting => Failure::Connect(error),
        _ => Failure::Broken(error),
    })
}

fn is_past(moment: Instant) -> bool {
    moment <= Instant::now()
}
