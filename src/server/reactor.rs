//! An I/O thread: mail and events in, reads and writes out.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use crate::net::busy_poll::Spin;
use crate::net::clock::{Clock, Tick};
use crate::net::mailbox::EventLoop;
use crate::net::poll::{EVENTS, Event, Events};
use crate::net::slab::Slab;
use crate::net::socket::Socket;
use crate::net::timer_wheel::TimerWheel;
use crate::net::token::Token;
use crate::server::dispatch::Job;
use crate::server::mail::Mail;
use crate::server::patience::Timeouts;
use crate::server::peer::{Fate, Newcomer, Peer};
use crate::server::service::Service;
use crate::wire::handler::Handler;
use crate::wire::reason::Reason;

/// One I/O thread. It alone owns its connections and whatever belongs to them.
pub(crate) struct Reactor<H: Handler, T = TcpStream> {
    event_loop: EventLoop<Mail<H::Session, T>>,
    peers: Slab<Peer<H::Session, T>>,
    service: Service<H>,
    timing: Timing,
    /// Those who have come up among the deadlines; kept for its memory.
    due: Vec<Token>,
    ticker: Option<Ticker>,
    drain_by: Option<Tick>,
}

/// What it takes to have a peer come up when its time is over.
#[derive(Debug)]
struct Timing {
    clock: Clock,
    deadlines: TimerWheel,
    timeouts: Timeouts,
}

/// When the handler's tick is due.
#[derive(Debug)]
struct Ticker {
    every: Duration,
    next: Tick,
}

impl<H: Handler, T: Socket> Reactor<H, T> {
    /// A reactor with no connections yet.
    pub(crate) fn new(
        event_loop: EventLoop<Mail<H::Session, T>>,
        service: Service<H>,
        timeouts: Timeouts,
        tick: Option<Duration>,
    ) -> Reactor<H, T> {
        let clock = Clock::new();
        let ticker = tick.map(|every| Ticker { every, next: clock.now().after(every) });
        let (peers, due, drain_by) = Default::default();
        let timing = Timing { clock, deadlines: TimerWheel::new(), timeouts };
        Reactor { event_loop, peers, service, timing, due, ticker, drain_by }
    }

    /// Serves until it has drained.
    pub(crate) fn run(mut self, mut spin: Spin) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        while !self.has_drained() {
            spin.wait(&self.event_loop, &mut events, self.timeout())?;
            self.turn(events.iter());
        }
        Ok(())
    }

    /// Does what one wait has brought, and what time has.
    fn turn(&mut self, events: impl Iterator<Item = Event>) {
        self.read_mail();
        for event in events {
            match event.token() {
                Token::WAKE => {}
                token => self.visit(token, |service, peer| service.ready(token, peer, event)),
            }
        }
        self.look_at_the_clock();
    }

    fn read_mail(&mut self) {
        for _ in 0..self.event_loop.inbox.acknowledge() {
            match self.event_loop.inbox.take() {
                Some(Mail::Adopt(newcomer)) => self.adopt(newcomer),
                Some(Mail::Done(job)) => self.welcome_home(job),
                Some(Mail::Drain(by)) => self.drain(self.timing.clock.at(by)),
                None => break,
            }
        }
        self.serve_the_line();
    }

    fn adopt(&mut self, newcomer: Newcomer<T>) {
        if let Some(peer) = self.service.open(newcomer) {
            let token = self.peers.insert(peer);
            self.visit(token, |_, _| Ok(Fate::Stays));
        }
    }

    fn welcome_home(&mut self, mut job: Box<Job<H::Session>>) {
        let token = job.token;
        if self.peers.get_mut(token).is_some() {
            self.visit(token, |service, peer| service.settle_job(token, peer, &mut job));
        } else {
            self.service.too_late(&mut job);
        }
        self.service.dispatch.recycle(job);
    }

    /// Gives the jobs that have come home to those who wait for one.
    fn serve_the_line(&mut self) {
        while let Some(token) = self.service.dispatch.next_in_line() {
            self.visit(token, |service, peer| {
                peer.resume();
                service.proceed(token, peer, 0)?;
                peer.fate()
            });
        }
    }

    fn drain(&mut self, by: Tick) {
        self.drain_by = Some(by);
        if by <= self.timing.clock.now() {
            return self.stop();
        }
        for token in self.peers.tokens().collect::<Vec<_>>() {
            self.visit(token, |_, peer| {
                peer.drain()?;
                peer.fate()
            });
        }
    }

    /// Does something with one peer, if it still exists, and what follows from it.
    fn visit(
        &mut self,
        token: Token,
        act: impl FnOnce(&mut Service<H>, &mut Peer<H::Session, T>) -> io::Result<Fate>,
    ) {
        let Some(peer) = self.peers.get_mut(token) else {
            return self.service.stats().stale.add(1);
        };
        let (tally, held) = (peer.connection.tally(), peer.connection.held());
        let result = act(&mut self.service, peer);
        self.service.account(tally, held, &peer.connection);
        match result {
            Ok(Fate::Stays) => {
                // Epoll and the deadlines follow the state that the peer is in now.
                let (interest, socket) = (peer.interest(), peer.connection.socket());
                match self.event_loop.poll.watch(socket, token, &mut peer.watched, interest) {
                    Ok(()) => self.timing.follow(token, peer),
                    Err(error) => self.lose(token, &error),
                }
            }
            Ok(Fate::Ends(reason)) => self.close(token, reason),
            Err(error) => self.close(token, Reason::of(&error)),
        }
    }

    /// Looks at a peer that has come up. It may have made progress since it was
    /// armed, have been armed again for an earlier moment, or be gone.
    fn look_at(&mut self, token: Token, now: Tick) {
        let Some(peer) = self.peers.get_mut(token) else {
            return;
        };
        if peer.timed.armed.is_none_or(|armed| now.stamp().is_before(armed)) {
            return;
        }
        peer.timed.armed = None;
        let waiting = peer.waiting();
        let limit =
            waiting.limit(&self.timing.timeouts).filter(|_| peer.mark(waiting) == peer.timed.mark);
        let spent = peer.timed.since.map(|since| since.age(now));
        match (limit, spent) {
            (Some(limit), Some(spent)) if spent >= limit => {
                // Perhaps it is we who are late.
                self.visit(token, |service, peer| {
                    service.catch_up(token, peer, waiting)?;
                    peer.time_is_over()
                });
            }
            _ => self.timing.follow(token, peer),
        }
    }

    fn close(&mut self, token: Token, reason: Reason) {
        if let Some(mut peer) = self.peers.remove(token) {
            self.service.close(token, &mut peer, reason);
        }
    }

    /// Epoll would not watch the peer: it is lost, and nobody else is.
    fn lose(&mut self, token: Token, error: &io::Error) {
        log::warn!("epoll would not watch a connection, which is lost: {error}");
        self.service.stats().unwatched.add(1);
        self.close(token, Reason::Error);
    }

    fn look_at_the_clock(&mut self) {
        let Some(wake_up) = self.wake_up() else {
            return;
        };
        let now = self.timing.clock.now();
        if wake_up > now {
            return;
        }
        self.expire(now);
        if let Some(ticker) = &mut self.ticker
            && ticker.next <= now
        {
            ticker.next = now.after(ticker.every);
            self.service.tick();
        }
        if self.drain_by.is_some_and(|by| by <= now) {
            self.stop();
        }
    }

    fn expire(&mut self, now: Tick) {
        let mut due = std::mem::take(&mut self.due);
        self.timing.deadlines.expire(now, &mut due);
        due.drain(..).for_each(|token| self.look_at(token, now));
        self.due = due;
    }

    /// There is no more time to drain.
    fn stop(&mut self) {
        for token in self.peers.tokens().collect::<Vec<_>>() {
            self.close(token, Reason::Stop);
        }
    }

    /// When there is something to do even if nothing happens.
    fn wake_up(&self) -> Option<Tick> {
        let tick = self.ticker.as_ref().map(|ticker| ticker.next);
        [self.timing.deadlines.next(), tick, self.drain_by].into_iter().flatten().min()
    }

    fn timeout(&self) -> Option<Duration> {
        self.wake_up().map(|wake_up| self.timing.clock.now().until(wake_up))
    }

    /// A job that is out is waited for, so that its connection's end is told; but
    /// not longer than there is time.
    fn has_drained(&self) -> bool {
        let Some(by) = self.drain_by else {
            return false;
        };
        self.peers.is_empty() && (self.service.dispatch.is_idle() || by <= self.timing.clock.now())
    }
}

impl Timing {
    /// Sees to it that the peer comes up when its time is over.
    fn follow<S, T: Socket>(&mut self, token: Token, peer: &mut Peer<S, T>) {
        let waiting = peer.waiting();
        let limit = waiting.limit(&self.timeouts);
        if waiting.next_look(limit).is_none() {
            return;
        }
        let (now, mark) = (self.clock.now(), peer.mark(waiting));
        let timed = &mut peer.timed;
        if timed.mark != mark {
            (timed.mark, timed.since) = (mark, Some(now.stamp()));
        }
        let spent = timed.since.map_or(Duration::ZERO, |since| since.age(now));
        let left = limit.map(|limit| limit.saturating_sub(spent));
        let due = now.after(waiting.next_look(left).unwrap_or_default());
        if timed.armed.is_none_or(|armed| due.stamp().is_before(armed)) {
            timed.armed = Some(self.deadlines.arm(token, due, now).stamp());
        }
    }
}

#[cfg(test)]
mod simulation;
