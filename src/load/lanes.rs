//! The connections of one generator.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::load::exchange::{Exchange, NextStep};
use crate::load::failure::Failure;
use crate::load::lane::{Lane, LaneState};
use crate::load::mail::Order;
use crate::load::opener::{Attempt, Opener};
use crate::load::payload::Payload;
use crate::load::plan::{Close, Plan};
use crate::load::schedule::SendOrder;
use crate::load::sequence::Sequence;
use crate::net::clock::Clock;
use crate::net::mailbox::{EventLoop, Inbox};
use crate::net::poll::{Event, Events, Poll};
use crate::net::slab::Slab;
use crate::net::timer_wheel::TimerWheel;
use crate::net::token::Token;

/// The connections of one generator: opens, watches, times out, replaces and closes them.
#[derive(Debug)]
pub(crate) struct Lanes {
    event_loop: EventLoop<Order>,
    lanes: Slab<Lane>,
    opener: Opener,
    pub(crate) exchange: Exchange,
    pub(crate) order: SendOrder,
    /// How many connections are held.
    held: usize,
    connect_timeout: Duration,
    timeout: Duration,
    /// How long the server may take to close.
    close_timeout: Duration,
    clock: Clock,
    deadlines: TimerWheel,
}

/// How long a server may take to close after the last reply, if that is no error.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

impl Lanes {
    pub(crate) fn new(
        event_loop: EventLoop<Order>,
        plan: &Plan,
        number: usize,
        payload: Arc<Payload>,
    ) -> Lanes {
        let (lanes, order, held) = Default::default();
        let is_strict = plan.close == Close::Strict;
        Lanes {
            event_loop,
            lanes,
            opener: Opener::new(plan, number),
            exchange: Exchange::new(plan, payload),
            order,
            held,
            connect_timeout: plan.connect_timeout,
            timeout: plan.timeout,
            close_timeout: if is_strict { plan.timeout } else { CLOSE_TIMEOUT },
            clock: Clock::new(),
            deadlines: TimerWheel::new(),
        }
    }

    /// Waits for an event or mail, but not beyond `until` or its own next deadline, and no longer
    /// than `step`, for which it does not look at the clock.
    pub(crate) fn wait(
        &self,
        events: &mut Events,
        until: Option<Instant>,
        step: Duration,
    ) -> io::Result<()> {
        let opening = self.opener.due().filter(|_| self.opener.room() > 0);
        let moment = [until, opening].into_iter().flatten().min();
        let moment = moment.map(|moment| moment.saturating_duration_since(Instant::now()));
        let deadline = self.deadlines.next().map(|next| self.clock.now().until(next));
        self.event_loop.wait(events, [moment, deadline, Some(step)].into_iter().flatten().min())
    }

    pub(crate) fn inbox(&self) -> &Inbox<Order> {
        &self.event_loop.inbox
    }

    /// Whether no connection is open, and none will be opened in place of another.
    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.opener.waiting.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.lanes.len()
    }

    /// How many connections are open.
    pub(crate) fn open_count(&self) -> usize {
        self.lanes.len() - self.opener.connecting
    }

    /// How often there was no local port left.
    pub(crate) fn port_shortages(&self) -> u64 {
        self.opener.port_shortages
    }

    /// Whether all connections of the plan are open or have failed.
    pub(crate) fn has_opened_all(&self) -> bool {
        self.opener.is_done()
    }

    /// Whether there are connections, and all of them are held.
    pub(crate) fn all_are_held(&self) -> bool {
        let are_held = self.held == self.lanes.len() && self.opener.waiting.is_empty();
        self.exchange.holds && are_held && self.held > 0
    }

    /// How many messages that count were sent on all connections, open or closed.
    pub(crate) fn counted(&mut self) -> u64 {
        let mut counted = self.exchange.sent_by_closed();
        counted += self.opener.waiting.iter().map(Sequence::counted).sum::<u64>();
        self.for_each(|lane| counted += lane.sequence.counted());
        counted
    }

    /// Opens the connections that are due.
    pub(crate) fn open_due(&mut self) {
        for _ in 0..self.opener.room() {
            if !self.opener.due().is_some_and(is_past) {
                break;
            }
            match self.opener.open_next() {
                Attempt::Started(socket, sequence) => {
                    self.insert(Lane::new(socket, sequence, Instant::now()));
                }
                Attempt::Postponed => {}
                Attempt::Failed(failure, sequence) => {
                    self.exchange.add_failure(&failure, &sequence);
                    self.exchange.add_closed(&sequence);
                }
            }
        }
    }

    /// Makes the connections active, in the order in which they will send.
    pub(crate) fn activate(&mut self) {
        self.order = SendOrder::new(self.lanes.tokens().collect());
        for (place, &token) in self.order.tokens().iter().enumerate() {
            if let Some(lane) = self.lanes.get_mut(token) {
                lane.sequence.place = place as u32;
                lane.state = LaneState::Active;
            }
        }
    }

    /// Has the messages of every connection count from `now` on, at most `limit` on each.
    pub(crate) fn start_counting(&mut self, now: Instant, limit: u64) {
        for token in self.lanes.tokens().collect::<Vec<_>>() {
            if let Some(Lane { sequence, .. }) = self.lanes.get_mut(token) {
                sequence.start_counting(self.exchange.due_before(sequence.place, now), limit);
            }
        }
        for sequence in &mut self.opener.waiting {
            sequence.start_counting(self.exchange.due_before(sequence.place, now), limit);
        }
        let rounds = self.exchange.due_before(0, now).saturating_add(limit);
        self.order.rounds = rounds.saturating_add(1);
    }

    /// Makes the held connections active for one more message.
    pub(crate) fn release(&mut self) {
        self.held = 0;
        self.for_each(|lane| {
            lane.state = LaneState::Active;
            lane.sequence.limit = lane.sequence.sent() + 1;
        });
    }

    /// Handles an event of a connection.
    pub(crate) fn ready(&mut self, token: Token, event: Event) {
        match self.lanes.get_mut(token).map(|lane| lane.state) {
            Some(LaneState::Connecting) => self.finish_connect(token),
            _ => self.update(token, |exchange, lane| exchange.ready(lane, event)),
        }
    }

    /// Has every connection send what it may send now.
    pub(crate) fn send_all(&mut self) {
        self.update_all(|exchange, lane| exchange.send(lane, Instant::now()));
    }

    /// Time is up: no more messages are sent, and connections that send none are not opened.
    pub(crate) fn time_up(&mut self, until: Instant) {
        self.update_all(|exchange, lane| exchange.time_up(lane, until));
        if !self.exchange.holds {
            self.close_waiting();
        }
    }

    /// As [`update`](Self::update), on every connection.
    fn update_all(&mut self, act: impl Fn(&mut Exchange, &mut Lane) -> Result<NextStep, Failure>) {
        for token in self.lanes.tokens().collect::<Vec<_>>() {
            self.update(token, &act);
        }
    }

    /// Acts on one connection, updates what epoll watches for, and takes the next step.
    pub(crate) fn update(
        &mut self,
        token: Token,
        act: impl FnOnce(&mut Exchange, &mut Lane) -> Result<NextStep, Failure>,
    ) {
        let Some(lane) = self.lanes.get_mut(token) else {
            return;
        };
        let was_connecting = lane.state == LaneState::Connecting;
        let result = act(&mut self.exchange, lane)
            .and_then(|next| watch(&self.event_loop.poll, lane, token).map(|()| next));
        if was_connecting && lane.state != LaneState::Connecting {
            self.opener.connecting -= 1;
        }
        match result {
            Ok(NextStep::Wait) => {}
            Ok(NextStep::AwaitClose) => self.arm(token),
            Ok(NextStep::Hold) => self.held += 1,
            Ok(NextStep::Reconnect) => self.reconnect(token),
            Ok(NextStep::Close) => self.close(token),
            Err(failure) => {
                self.exchange.add_failure(&failure, &lane.sequence);
                self.close(token);
            }
        }
    }

    /// Ends the outcome here: the load was told to stop. The time that counts is over already
    /// if all that is left to do is to close.
    pub(crate) fn interrupt(&mut self, now: Instant) {
        let mut is_over = !self.lanes.is_empty() && self.opener.waiting.is_empty();
        for token in self.lanes.tokens().collect::<Vec<_>>() {
            is_over &= self.lanes.get_mut(token).is_some_and(|lane| {
                lane.state == LaneState::Closing && !self.exchange.continues(lane, now)
            });
        }
        self.exchange.interrupt(now, is_over);
        for token in self.lanes.tokens().collect::<Vec<_>>() {
            self.close(token);
        }
        self.close_waiting();
    }

    /// Fails the connections whose server has let them wait for too long.
    pub(crate) fn check_timeouts(&mut self) {
        let now = self.clock.now();
        if self.deadlines.next().is_some_and(|next| next <= now) {
            let mut expired = Vec::new();
            self.deadlines.expire(now, &mut expired);
            expired.into_iter().for_each(|token| self.check_timeout(token));
        }
    }

    /// Adds a connection that is being opened.
    fn insert(&mut self, lane: Lane) {
        let place = lane.sequence.place;
        let token = self.lanes.insert(lane);
        self.order.replace(place, token);
        self.opener.connecting += 1;
        self.update(token, |_, _| Ok(NextStep::Wait));
        let soon = self.connect_timeout.min(self.timeout);
        let now = self.clock.now();
        self.deadlines.arm(token, now.after(soon), now);
    }

    fn finish_connect(&mut self, token: Token) {
        let (began, port) = (self.opener.began, self.opener.port());
        self.update(token, |exchange, lane| {
            lane.finish_connect(port)?;
            let connections = &mut exchange.outcome.connections;
            if lane.is_reopened() {
                connections.reopened += 1;
            } else {
                connections.opened += 1;
                connections.time = began.elapsed();
            }
            exchange.send(lane, Instant::now())
        });
    }

    /// Closes a connection that has sent its share of messages. Another replaces it.
    fn reconnect(&mut self, token: Token) {
        let Some(Lane { connection, mut sequence, .. }) = self.lanes.remove(token) else {
            return;
        };
        sequence.add_closed(connection.tally());
        // This frees its descriptor before the next is opened.
        drop(connection);
        self.opener.waiting.push_back(sequence);
    }

    /// Ends the sequences that wait for another connection.
    fn close_waiting(&mut self) {
        for sequence in std::mem::take(&mut self.opener.waiting) {
            self.exchange.add_closed(&sequence);
        }
    }

    fn close(&mut self, token: Token) {
        let Some(mut lane) = self.lanes.remove(token) else {
            return;
        };
        match lane.state {
            LaneState::Connecting => self.opener.connecting -= 1,
            LaneState::Held => self.held -= 1,
            LaneState::Ready | LaneState::Active | LaneState::Closing => {}
        }
        lane.sequence.add_closed(lane.connection.tally());
        self.exchange.add_closed(&lane.sequence);
    }

    fn check_timeout(&mut self, token: Token) {
        match self.deadline(token) {
            // Perhaps it is this thread that is late.
            Some(due) if is_past(due) && self.has_connected(token) => {
                self.finish_connect(token);
                self.arm(token);
            }
            Some(due) if is_past(due) => {
                self.update(token, |exchange, lane| exchange.time_out(lane));
            }
            Some(_) => self.arm(token),
            None => {}
        }
    }

    fn arm(&mut self, token: Token) {
        if let Some(due) = self.deadline(token) {
            self.deadlines.arm(token, self.clock.at(due), self.clock.now());
        }
    }

    /// When a connection has waited for too long. One that does not wait is looked at again
    /// later, in case it does then.
    fn deadline(&mut self, token: Token) -> Option<Instant> {
        let lane = self.lanes.get_mut(token)?;
        let timeout = match lane.state {
            LaneState::Connecting => self.connect_timeout,
            LaneState::Closing => self.close_timeout,
            _ => self.timeout,
        };
        Some(lane.waits_since().unwrap_or_else(Instant::now) + timeout)
    }

    /// Whether a connection is open whose event this thread has not seen yet.
    fn has_connected(&mut self, token: Token) -> bool {
        self.lanes.get_mut(token).is_some_and(|lane| {
            let is_connecting = lane.state == LaneState::Connecting;
            is_connecting && lane.connection.socket().peer_addr().is_ok()
        })
    }

    fn for_each(&mut self, mut act: impl FnMut(&mut Lane)) {
        for token in self.lanes.tokens().collect::<Vec<_>>() {
            self.lanes.get_mut(token).into_iter().for_each(&mut act);
        }
    }
}

/// Has epoll watch for what a connection waits for now.
fn watch(poll: &Poll, lane: &mut Lane, token: Token) -> Result<(), Failure> {
    let (interest, socket) = (lane.interest(), lane.connection.socket());
    poll.watch(socket, token, &mut lane.watched, interest).map_err(|error| match lane.state {
        LaneState::Connecting => Failure::Connect(error),
        _ => Failure::Broken(error),
    })
}

fn is_past(moment: Instant) -> bool {
    moment <= Instant::now()
}
