//! One thread of a load.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::deadlines::{Clock, Deadlines};
use crate::load::lane::{Failure, Lane, Phase};
use crate::load::script::Script;
use crate::load::talk::{Fate, Talk};
use crate::load::{Order, Outcome, Plan, Progress};
use crate::mailbox::{Desk, Inbox};
use crate::poll::{EVENTS, Event, Events, Poll};
use crate::slab::Slab;
use crate::token::Token;

/// One thread of a load: it opens its share of the connections, and has all of
/// them talk.
#[derive(Debug)]
pub(crate) struct Generator<'a> {
    plan: Plan,
    /// The number of the first connection; the others follow in steps of the
    /// number of threads.
    first: u32,
    poll: Poll,
    inbox: Inbox<Order>,
    lanes: Slab<Lane>,
    talk: Talk,
    progress: &'a Progress,
    began: Instant,
    /// How many connections were tried.
    tried: usize,
    /// Whether those who had nothing under way when time was up were told.
    called_time: bool,
    clock: Clock,
    deadlines: Deadlines,
}

/// How many connections are being opened at once, so that the server's queue of
/// those who wait to be accepted does not run over.
const CONNECTING: usize = 256;

impl<'a> Generator<'a> {
    pub(crate) fn new(
        desk: Desk<Order>,
        plan: Plan,
        script: Arc<Script>,
        first: u32,
        progress: &'a Progress,
    ) -> Generator<'a> {
        let Desk { poll, inbox } = desk;
        let (lanes, tried, called_time) = Default::default();
        let talk = Talk::new(&plan, script);
        let (began, clock, deadlines) = (Instant::now(), Clock::new(), Deadlines::new());
        Generator {
            plan,
            first,
            poll,
            inbox,
            lanes,
            talk,
            progress,
            began,
            tried,
            called_time,
            clock,
            deadlines,
        }
    }

    /// Opens connections, says so by `ready`, talks from [`Order::Start`] on, and
    /// ends with the last connection.
    pub(crate) fn run(mut self, ready: impl FnOnce()) -> io::Result<Outcome> {
        let mut events = Events::with_capacity(EVENTS);
        let mut ready = Some(ready);
        while !self.is_over() {
            self.connect_more();
            if self.connecting() == 0 && self.next_connect().is_none() {
                ready.take().into_iter().for_each(|ready| ready());
            }
            self.poll.wait(&mut events, self.timeout())?;
            for event in events.iter() {
                match event.token() {
                    Token::WAKE => self.read_mail(),
                    token => self.ready(token, event),
                }
            }
            self.look_at_the_clock();
            self.progress.messages.set(self.talk.outcome.messages);
        }
        Ok(self.talk.outcome)
    }

    fn is_over(&self) -> bool {
        self.talk.outcome.interrupted || self.talk.has_started() && self.lanes.is_empty()
    }

    fn read_mail(&mut self) {
        for _ in 0..self.inbox.answer() {
            match self.inbox.take() {
                Some(Order::Start) => self.start(),
                Some(Order::Stop) => self.stop(),
                None => break,
            }
        }
    }

    /// Opens as many connections as it is time for.
    fn connect_more(&mut self) {
        // As many tries, too: one that fails at once is no longer connecting.
        let tries = CONNECTING.saturating_sub(self.connecting());
        for _ in 0..tries {
            if !self.next_connect().is_some_and(is_past) {
                break;
            }
            let number = self.first + (self.tried * self.plan.threads) as u32;
            self.tried += 1;
            match Lane::connect(self.plan.target, number, Instant::now()) {
                Ok(lane) => self.take_in(lane),
                Err(failure) => self.talk.count(&failure),
            }
        }
    }

    fn next_connect(&self) -> Option<Instant> {
        let is_left = self.tried < self.plan.connections;
        is_left.then(|| self.began + self.plan.opens_after(self.tried))
    }

    /// How many connections are neither open nor given up.
    fn connecting(&self) -> usize {
        let connections = self.talk.outcome.connections;
        self.tried - (connections.opened + connections.failed) as usize
    }

    fn take_in(&mut self, lane: Lane) {
        let token = self.lanes.insert(lane);
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
        let began = self.began;
        self.visit(token, |talk, lane| {
            lane.connected()?;
            talk.outcome.connections.opened += 1;
            talk.outcome.connections.time = began.elapsed();
            Ok(Fate::Stays)
        });
        self.progress.opened.set(self.talk.outcome.connections.opened);
    }

    /// The connections of all threads are open: everybody talks.
    fn start(&mut self) {
        self.talk.start(&self.plan, Instant::now());
        for token in self.lanes.tokens().collect::<Vec<_>>() {
            self.visit(token, |talk, lane| {
                lane.phase = Phase::Talking;
                talk.ask(lane, Instant::now())
            });
        }
    }

    fn stop(&mut self) {
        self.talk.interrupt(Instant::now());
        for token in self.lanes.tokens().collect::<Vec<_>>() {
            self.close(token);
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
        match result.and_then(|fate| watch(&self.poll, lane, token).map(|()| fate)) {
            Ok(Fate::Stays) => {}
            Ok(Fate::Ends) => self.close(token),
            Err(failure) => {
                self.talk.count(&failure);
                self.close(token);
            }
        }
    }

    fn close(&mut self, token: Token) {
        if let Some(lane) = self.lanes.remove(token) {
            self.talk.closed(&lane);
        }
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
        if self.talk.until.is_some_and(is_past) && !std::mem::replace(&mut self.called_time, true) {
            self.call_time();
        }
    }

    fn look_at(&mut self, token: Token) {
        match self.due(token) {
            Some(due) if is_past(due) => self.visit(token, |_, lane| Err(lane.overdue())),
            Some(_) => self.time(token),
            None => {}
        }
    }

    /// It is too late to ask for more: who has all replies takes its leave.
    fn call_time(&mut self) {
        let now = Instant::now();
        for token in self.lanes.tokens().collect::<Vec<_>>() {
            self.visit(token, |talk, lane| talk.ask(lane, now));
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let connect = self.next_connect().filter(|_| self.connecting() < CONNECTING);
        let call = self.talk.until.filter(|_| !self.called_time);
        let moment = [connect, call].into_iter().flatten().min();
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
