//! The connections of one generator.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::load::deadlines::Deadlines;
use crate::load::exchange::{Exchange, NextStep};
use crate::load::failure::Failure;
use crate::load::lane::{Lane, LaneState};
use crate::load::mail::Order;
use crate::load::opener::{Attempt, Opener};
use crate::load::payload::Payload;
use crate::load::plan::Plan;
use crate::load::schedule::SendOrder;
use crate::load::sequence::Sequence;
use crate::load::think::Thinking;
use crate::net::mailbox::{EventLoop, Inbox};
use crate::net::poll::{Event, Events, Poll};
use crate::net::slab::Slab;
use crate::net::token::Token;

/// The connections of one generator: opens, watches, times out, replaces and closes them.
#[derive(Debug)]
pub(crate) struct Lanes {
    event_loop: EventLoop<Order>,
    lanes: Slab<Lane>,
    opener: Opener,
    pub(crate) exchange: Exchange,
    pub(crate) order: SendOrder,
    pub(crate) thinking: Thinking,
    /// How many connections are held.
    held: usize,
    /// Whether messages are sent.
    is_active: bool,
    deadlines: Deadlines,
}

impl Lanes {
    pub(crate) fn new(
        event_loop: EventLoop<Order>,
        plan: &Plan,
        number: usize,
        payload: Arc<Payload>,
    ) -> Lanes {
        let (lanes, order, thinking, held, is_active) = Default::default();
        Lanes {
            event_loop,
            lanes,
            opener: Opener::new(plan, number),
            exchange: Exchange::new(plan, payload),
            order,
            thinking,
            held,
            is_active,
            deadlines: Deadlines::new(plan),
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
        let waits = [moment, self.deadlines.next(), Some(step)].into_iter().flatten();
        self.event_loop.wait(events, waits.min())
    }

    pub(crate) fn inbox(&self) -> &Inbox<Order> {
        &self.event_loop.inbox
    }

    /// Whether no connection is open, and none will be opened in place of another.
    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.is_empty() && !self.opener.has_queue()
    }

    /// How many connections there are, those included that are lost and will be opened again.
    pub(crate) fn len(&self) -> usize {
        self.lanes.len() + self.opener.queue().count()
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
        let connections = &self.exchange.outcome.connections;
        connections.opened + connections.failed == connections.requested
    }

    /// Whether there are connections, and all of them are held.
    pub(crate) fn all_are_held(&self) -> bool {
        let are_held = self.held == self.lanes.len() && !self.opener.has_queue();
        self.exchange.holds && are_held && self.held > 0
    }

    /// How many messages that count were sent on all connections, open or closed.
    pub(crate) fn counted(&mut self) -> u64 {
        let mut counted = self.exchange.sent_by_closed();
        counted += self.opener.queue().map(Sequence::counted).sum::<u64>();
        self.for_each(|lane| counted += lane.sequence.counted());
        counted
    }

    /// Opens the connections that are due.
    pub(crate) fn open_due(&mut self) {
        for _ in 0..self.opener.room() {
            if !self.opener.due().is_some_and(is_past) {
                break;
            }
            let now = Instant::now();
            match self.opener.open_next() {
                Attempt::Started(socket, sequence) => {
                    self.insert(Lane::new(socket, sequence, now));
                }
                Attempt::Postponed => {}
                Attempt::Failed(failure, sequence) => {
                    self.exchange.extend_to_failure();
                    self.lose(sequence, failure, now, false);
                }
            }
        }
    }

    /// Makes the connections active, in the order in which they will send, at this number of places.
    /// Those that are lost come last, and have no token before they are opened again. What is due at
    /// the place of one that has failed for good is not sent.
    pub(crate) fn activate(&mut self, places: u64) {
        self.is_active = true;
        let lost = std::iter::repeat(Token::WAKE);
        let places = (places as usize).max(self.len());
        self.order = SendOrder::new(self.lanes.tokens().chain(lost).take(places).collect());
        for (place, &token) in self.order.tokens().iter().enumerate() {
            if let Some(lane) = self.lanes.get_mut(token) {
                lane.sequence.place = place as u32;
                if lane.state == LaneState::Ready {
                    lane.state = LaneState::Active;
                }
            }
        }
        for (place, sequence) in (self.lanes.len()..).zip(self.opener.queue_mut()) {
            sequence.place = place as u32;
        }
    }

    /// Has the messages of every connection count from `now` on, at most `limit` on each.
    pub(crate) fn start_counting(&mut self, now: Instant, limit: u64) {
        for token in self.lanes.tokens().collect::<Vec<_>>() {
            if let Some(Lane { sequence, .. }) = self.lanes.get_mut(token) {
                sequence.start_counting(self.exchange.due_before(sequence.place, now), limit);
            }
        }
        for sequence in self.opener.queue_mut() {
            sequence.start_counting(self.exchange.due_before(sequence.place, now), limit);
        }
        let rounds = self.exchange.due_before(0, now).saturating_add(limit);
        self.order.rounds = rounds.saturating_add(1);
    }

    /// Makes the held connections active for one more message.
    pub(crate) fn release(&mut self) {
        self.held = 0;
        self.for_each(|lane| {
            if lane.state == LaneState::Held {
                lane.state = LaneState::Active;
            }
            lane.sequence.limit = lane.sequence.sent() + 1;
            lane.sequence.thinks_until = None;
        });
        for sequence in self.opener.queue_mut() {
            sequence.limit = sequence.sent() + 1;
            sequence.thinks_until = None;
        }
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
            self.close_queue();
            self.close_attempts();
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
            Ok(NextStep::Think(until)) => self.thinking.insert(until, token),
            Ok(NextStep::AwaitClose) => self.arm(token),
            Ok(NextStep::Hold) => self.held += 1,
            Ok(NextStep::Reconnect) => self.reconnect(token),
            Ok(NextStep::Close) => self.close(token),
            Err(failure) => self.fail(token, failure),
        }
    }

    /// Ends the outcome here: the load was told to stop. The time that counts is over already
    /// if all that is left to do is to close.
    pub(crate) fn interrupt(&mut self, now: Instant) {
        let mut is_over = !self.lanes.is_empty() && !self.opener.has_queue();
        for token in self.lanes.tokens().collect::<Vec<_>>() {
            is_over &= self.lanes.get_mut(token).is_some_and(|lane| {
                lane.state == LaneState::Closing && !self.exchange.continues(&lane.sequence, now)
            });
        }
        self.exchange.interrupt(now, is_over);
        for token in self.lanes.tokens().collect::<Vec<_>>() {
            self.close(token);
        }
        self.close_queue();
    }

    /// Fails the connections whose server has let them wait for too long.
    pub(crate) fn check_timeouts(&mut self) {
        self.deadlines.expired().into_iter().for_each(|token| self.check_timeout(token));
    }

    /// Adds a connection that is being opened.
    fn insert(&mut self, lane: Lane) {
        let place = lane.sequence.place;
        let token = self.lanes.insert(lane);
        self.order.replace(place, token);
        self.opener.connecting += 1;
        self.update(token, |_, _| Ok(NextStep::Wait));
        self.arm(token);
    }

    fn finish_connect(&mut self, token: Token) {
        let (began, port) = (self.opener.began, self.opener.port());
        let state = if self.is_active { LaneState::Active } else { LaneState::Ready };
        self.update(token, |exchange, lane| {
            lane.finish_connect(port, state)?;
            let now = Instant::now();
            let connections = &mut exchange.outcome.connections;
            connections.add_opened(lane.connect_time(now), &mut lane.sequence, now, began);
            exchange.send(lane, now)
        });
    }

    /// A connection has failed.
    fn fail(&mut self, token: Token, failure: Failure) {
        let Some(lane) = self.lanes.get_mut(token) else {
            return;
        };
        let (since, state) = (lane.lost_since(&failure, Instant::now()), lane.state);
        if state != LaneState::Closing {
            self.exchange.extend_to_failure();
        }
        if let Some(sequence) = self.remove(token) {
            self.lose(sequence, failure, since, state != LaneState::Connecting);
        }
    }

    /// Ends a sequence whose connection has failed, or has it wait for another.
    fn lose(&mut self, mut sequence: Sequence, failure: Failure, since: Instant, was_open: bool) {
        if self.exchange.lose(&mut sequence, failure, since, was_open) {
            self.opener.lost.add(sequence, Instant::now());
        } else {
            self.exchange.add_closed(sequence);
        }
    }

    /// Closes a connection that has sent its share of messages. Another replaces it.
    fn reconnect(&mut self, token: Token) {
        let sequence = self.remove(token);
        self.opener.waiting.extend(sequence);
    }

    /// Ends the attempts to open lost connections again.
    fn close_attempts(&mut self) {
        for token in self.lanes.tokens().collect::<Vec<_>>() {
            let is_attempt = self.lanes.get_mut(token).is_some_and(|lane| {
                lane.state == LaneState::Connecting && lane.sequence.outage.is_some()
            });
            if is_attempt {
                self.close(token);
            }
        }
    }

    /// Ends the sequences that have no connection.
    fn close_queue(&mut self) {
        self.opener.take_queue().for_each(|sequence| self.exchange.add_closed(sequence));
    }

    fn close(&mut self, token: Token) {
        if let Some(sequence) = self.remove(token) {
            self.exchange.add_closed(sequence);
        }
    }

    /// Closes a connection, which frees its descriptor, and returns its sequence.
    fn remove(&mut self, token: Token) -> Option<Sequence> {
        let Lane { connection, mut sequence, state, .. } = self.lanes.remove(token)?;
        match state {
            LaneState::Connecting => self.opener.connecting -= 1,
            LaneState::Held => self.held -= 1,
            LaneState::Ready | LaneState::Active | LaneState::Closing => {}
        }
        sequence.add_closed(connection.tally());
        Some(sequence)
    }

    fn check_timeout(&mut self, token: Token) {
        let is_late = self.lanes.get_mut(token).is_some_and(|it| is_past(self.deadlines.due(it)));
        // Perhaps it is this thread that is late.
        if is_late && self.has_connected(token) {
            self.finish_connect(token);
        } else if is_late {
            self.update(token, |exchange, lane| exchange.time_out(lane));
        }
        self.arm(token);
    }

    fn arm(&mut self, token: Token) {
        if let Some(lane) = self.lanes.get_mut(token) {
            self.deadlines.arm(token, lane);
        }
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
