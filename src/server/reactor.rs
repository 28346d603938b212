//! An I/O thread: mail and events in, reads and writes out.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use crate::net::busy_poll::BusyPoll;
use crate::net::clock::Tick;
use crate::net::mailbox::EventLoop;
use crate::net::poll::{EVENTS, Event, Events};
use crate::net::slab::Slab;
use crate::net::socket::Socket;
use crate::net::sys;
use crate::net::token::Token;
use crate::server::drain_turns::DrainTurns;
use crate::server::handler::Handler;
use crate::server::mail::{Mail, Newcomer};
use crate::server::patience::{Check, Patience, Timeouts};
use crate::server::peer::{Peer, Pushed};
use crate::server::phase::Turn;
use crate::server::push::{Push, Recipients, What, WhenFull};
use crate::server::shared::Shared;
use crate::server::turn_times::TurnTimer;
use crate::server::visit::{Scratch, Visit};
use crate::server::workers::Job;
use crate::wire::reason::Reason;

/// One I/O thread. It alone owns its connections and all that belongs to them.
pub(crate) struct Reactor<H: Handler, T = TcpStream> {
    event_loop: EventLoop<Mail<H::Session, T>>,
    peers: Slab<Peer<H::Session, T>>,
    shared: Shared<H>,
    scratch: Scratch,
    patience: Patience,
    /// The peers that the timer wheel reports; kept for its memory.
    reported: Vec<Token>,
    /// The peers that something is pushed to; kept for its memory.
    recipients: Vec<Token>,
    /// The peers that something was pushed to in this turn, and must be sent.
    pushed: Vec<Token>,
    ticker: Option<Ticker>,
    /// Over how long a drain is spread.
    drain_spread: Duration,
    drain_turns: DrainTurns,
    /// When it ends at the latest, once it was told to end.
    end_by: Option<Tick>,
    thread: i32,
}

/// When the handler's tick is due.
#[derive(Debug)]
struct Ticker {
    every: Duration,
    next: Tick,
}

/// How many bytes a reactor pushes before it reads from its connections again, or a single push,
/// where each message to a connection counts [`PUSH`] more. That takes it some milliseconds.
const PUSHES: usize = 16 * 1024 * 1024;
/// A push takes as long as to copy this many bytes.
const PUSH: usize = 256;

impl<H: Handler, T: Socket> Reactor<H, T> {
    /// A reactor without connections, for the thread that calls this.
    pub(crate) fn new(
        event_loop: EventLoop<Mail<H::Session, T>>,
        shared: Shared<H>,
        timeouts: Timeouts,
        tick: Option<Duration>,
        drain_spread: Duration,
    ) -> Reactor<H, T> {
        let patience = Patience::new(timeouts);
        let ticker = tick.map(|every| Ticker { every, next: patience.now().after(every) });
        let (peers, reported, recipients, pushed, drain_turns, end_by) = Default::default();
        let (scratch, thread) = (Scratch::new(), sys::thread_id());
        Reactor {
            event_loop,
            peers,
            shared,
            scratch,
            patience,
            reported,
            recipients,
            pushed,
            ticker,
            drain_spread,
            drain_turns,
            end_by,
            thread,
        }
    }

    /// Serves until it has drained or was told to stop.
    ///
    /// # Errors
    /// Epoll failed, which is a mistake of ours.
    pub(crate) fn run(mut self, mut busy_poll: BusyPoll) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut timer = TurnTimer::default();
        let mut timeout = self.do_what_is_due();
        while !self.has_ended() {
            busy_poll.wait(&self.event_loop, &mut events, timeout)?;
            let began = timer.begin();
            timeout = self.run_once(events.iter());
            if let Some(began) = began {
                self.shared.stats().turns.count(began.elapsed());
            }
        }
        Ok(())
    }

    /// Does what one wait brought, and what is due by now. Returns how long to wait next.
    fn run_once(&mut self, events: impl Iterator<Item = Event>) -> Option<Duration> {
        self.read_mail();
        for event in events {
            match event.token() {
                Token::WAKE => {}
                token => self.visit(token, |visit, scratch| visit.ready(event, scratch)),
            }
        }
        let timeout = self.do_what_is_due();
        if !self.shared.finished.is_empty() {
            self.event_loop.inbox.leave_rest();
        }
        timeout
    }

    fn read_mail(&mut self) {
        let mut pushes = 0;
        for _ in 0..self.event_loop.inbox.acknowledge() {
            if pushes >= PUSHES {
                self.event_loop.inbox.leave_rest();
                break;
            }
            match self.event_loop.inbox.take() {
                Some(Mail::Adopt(newcomer)) => self.adopt(newcomer),
                Some(Mail::Finish(job)) => self.finish_job(job),
                Some(Mail::Push(push)) => pushes += self.push(push),
                Some(Mail::Drain(by)) => self.drain(self.patience.at(by)),
                Some(Mail::Stop) => self.stop(),
                None => break,
            }
        }
        self.send_pushed();
        // What is left may be for them.
        if pushes < PUSHES {
            self.end_finished();
        }
        // Jobs that returned are free for the peers that wait for one.
        while let Some(token) = self.shared.next_waiting() {
            self.visit(token, |visit, scratch| visit.take_job(scratch));
        }
    }

    /// Takes a connection over from the acceptor.
    fn adopt(&mut self, newcomer: Newcomer<T>) {
        self.shared.stats().opened.add(1);
        self.shared.log = newcomer.log;
        let token = self.peers.insert(Peer::new(newcomer));
        self.visit(token, |visit, scratch| visit.open(scratch));
    }

    /// A worker is done with a job, which carries the replies and the session back.
    fn finish_job(&mut self, mut job: Box<Job<H::Session>>) {
        match self.peers.get_mut(job.token) {
            Some(_) => {
                self.visit(job.token, |visit, scratch| visit.finish_job(&mut job, scratch));
            }
            None => self.shared.discard_late_job(&mut job),
        }
        self.shared.recycle(job);
    }

    /// Sends to connections, or closes them. Returns how many bytes of a turn's pushes that is.
    fn push(&mut self, push: Push) -> usize {
        let mut recipients = std::mem::take(&mut self.recipients);
        match push.to {
            Recipients::One(token) => recipients.push(token),
            Recipients::Many(tokens) => recipients.extend(tokens),
            Recipients::All { but } => {
                recipients.extend(self.peers.tokens().filter(|&token| Some(token) != but));
            }
        }
        let pushed = recipients.len() * (PUSH + push.what.length());
        for token in recipients.drain(..) {
            match &push.what {
                What::Send(message, when_full) => self.push_message(token, message, *when_full),
                What::Close if self.peers.get_mut(token).is_some() => {
                    self.visit(token, |visit, _| visit.close());
                }
                What::Close => self.shared.stats().pushes_late.add(1),
            }
        }
        self.recipients = recipients;
        self.shared.server.arrived(self.shared.reactor, push.cost);
        pushed
    }

    /// Has a peer keep a message, which is sent at the end of this turn with all others for
    /// that peer. If it has no room, what was pushed in this turn is sent first. A peer that must
    /// be closed then has another chance: it may have made room that epoll has not reported yet.
    fn push_message(&mut self, token: Token, message: &[u8], mut when_full: WhenFull) {
        let mut pushed = Pushed::Late;
        if let Some(peer) = self.peers.get_mut(token) {
            pushed = self.shared.push(peer, message);
            // It is the worker that is late, not the peer.
            if peer.turn() == Turn::Worker {
                when_full = WhenFull::Drop;
            }
            let is_last_chance = when_full == WhenFull::Close && peer.has_unsent();
            if pushed == Pushed::Full && (peer.has_untried() || is_last_chance) {
                self.visit(token, |visit, scratch| visit.write(scratch));
                pushed = match self.peers.get_mut(token) {
                    Some(peer) => self.shared.push(peer, message),
                    None => Pushed::Late,
                };
            }
        }
        let stats = self.shared.stats();
        match (&pushed, when_full) {
            (Pushed::First | Pushed::Behind, _) => stats.pushed.add(1),
            (Pushed::Late, _) => stats.pushes_late.add(1),
            (Pushed::Full, WhenFull::Drop) => stats.pushes_dropped.add(1),
            (Pushed::Full, WhenFull::Close) => self.close(token, Reason::PushFull),
        }
        match pushed {
            // What waits for the end of the turn would be held by all that it is pushed to.
            Pushed::First | Pushed::Behind if self.shared.budget.is_spent() => {
                self.visit(token, |visit, _| visit.send_pushed());
            }
            Pushed::First => self.pushed.push(token),
            Pushed::Behind | Pushed::Full | Pushed::Late => {}
        }
    }

    /// Sends what was pushed in this turn, to each peer with one system call.
    fn send_pushed(&mut self) {
        let mut pushed = std::mem::take(&mut self.pushed);
        for token in pushed.drain(..) {
            // A push may have closed it.
            if self.peers.get_mut(token).is_some() {
                self.visit(token, |visit, _| visit.send_pushed());
            }
        }
        self.pushed = pushed;
    }

    /// Ends the connections of peers that have finished, now that what they were sent before is
    /// here.
    fn end_finished(&mut self) {
        self.shared.is_last_turn = true;
        for token in std::mem::take(&mut self.shared.finished) {
            if self.peers.get_mut(token).is_some() {
                self.visit(token, |_, _| Ok(()));
            }
        }
        self.shared.is_last_turn = false;
    }

    /// Visits a peer, if it still exists. `act` is what is done with it. Then the peer is
    /// closed if it is over, or else watched for what its state needs and given time for it.
    fn visit(
        &mut self,
        token: Token,
        act: impl FnOnce(&mut Visit<'_, H, T>, &mut Scratch) -> io::Result<()>,
    ) {
        let Some(peer) = self.peers.get_mut(token) else {
            return self.shared.stats().stale.add(1);
        };
        let mut visit = Visit::new(token, peer, &mut self.shared);
        let result = act(&mut visit, &mut self.scratch);
        self.scratch.trim();
        if let Some(reason) = visit.end(result) {
            return self.close(token, reason);
        }
        match peer.watch(&self.event_loop.poll, token) {
            Ok(()) => peer.update_deadline(token, &mut self.patience),
            Err(error) => self.lose(token, &error),
        }
    }

    /// Has every peer answered what has arrived by its turn, and ends with the last of them.
    fn drain(&mut self, by: Tick) {
        let now = self.patience.now();
        if by <= now {
            return self.stop();
        }
        self.end_by = Some(by);
        let tokens = self.peers.tokens().collect();
        self.drain_turns = DrainTurns::new(now, self.drain_spread, tokens);
        self.take_drain_turns(now);
    }

    fn take_drain_turns(&mut self, now: Tick) {
        while let Some(token) = self.drain_turns.take(now) {
            if self.peers.get_mut(token).is_some() {
                self.visit(token, |visit, _| visit.drain());
            }
        }
    }

    /// Resets every peer and ends.
    fn stop(&mut self) {
        self.end_by = Some(self.patience.now());
        for token in self.peers.tokens().collect::<Vec<_>>() {
            self.close(token, Reason::Stop);
        }
    }

    /// Closes a connection, and tells the handler, the counters and the log.
    fn close(&mut self, token: Token, reason: Reason) {
        let Some(mut peer) = self.peers.remove(token) else { return };
        self.shared.budget.account(peer.held(), 0);
        self.shared.forget(token, peer.turn(), reason);
        self.shared.notify_closed(peer.session().take(), reason);
        if reason.resets() {
            peer.socket().reset();
        }
        let stats = self.shared.all_stats();
        let now = stats.nanoseconds();
        // Counted first, so that a reader of the line finds it in the counters.
        stats.reactors[self.shared.reactor].count_close(now, reason);
        self.shared.log.closed(&peer.closed(self.thread, now, reason));
    }

    /// Epoll does not watch the peer: its connection is lost, and no other.
    fn lose(&mut self, token: Token, error: &io::Error) {
        self.shared.stats().count_unwatched(error);
        self.close(token, Reason::Error);
    }

    /// Checks the deadlines, ticks and ends, as far as they are due. Returns how long it is until
    /// something is due again.
    fn do_what_is_due(&mut self) -> Option<Duration> {
        let due = self.next_due()?;
        let now = self.patience.now();
        if due > now {
            return Some(now.until(due));
        }
        self.check_deadlines(now);
        if let Some(ticker) = &mut self.ticker
            && ticker.next <= now
        {
            ticker.next = now.after(ticker.every);
            self.shared.call(|handler| handler.tick(self.shared.reactor));
        }
        self.take_drain_turns(now);
        if self.end_by.is_some_and(|by| by <= now) {
            self.stop();
        }
        // Not from `now`: the handler may have taken long.
        self.next_due().map(|due| self.patience.now().until(due))
    }

    fn check_deadlines(&mut self, now: Tick) {
        let mut reported = std::mem::take(&mut self.reported);
        self.patience.expire(now, &mut reported);
        for token in reported.drain(..) {
            let Some(peer) = self.peers.get_mut(token) else { continue };
            match peer.check_deadline(&self.patience, now) {
                Check::Superseded => {}
                Check::InTime => peer.update_deadline(token, &mut self.patience),
                Check::Overdue => self.visit(token, |visit, scratch| visit.time_out(scratch)),
            }
        }
        self.reported = reported;
    }

    /// When there is something to do although no event or mail arrives.
    fn next_due(&self) -> Option<Tick> {
        let tick = self.ticker.as_ref().map(|ticker| ticker.next);
        let next = [self.patience.next(), tick, self.end_by].into_iter().flatten().min();
        // Apart from the others: in an array of all four the compiler compares what a None holds,
        // which valgrind reports.
        match self.drain_turns.next() {
            None => next,
            Some(turn) => Some(next.map_or(turn, |next| next.min(turn))),
        }
    }

    /// Returns whether it was told to end and nothing is left. It waits for a job that is
    /// out, to tell the end of its connection, but no longer than it has time.
    fn has_ended(&self) -> bool {
        let Some(by) = self.end_by else { return false };
        self.peers.is_empty() && (self.shared.is_idle() || by <= self.patience.now())
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
