//! What is done with one peer: read from it, have it handled, send the replies.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::net::bet::{self, Bet};
use crate::net::clock::now;
use crate::net::connection::{Connection, Received, SCRATCH, SLIM, Tally};
use crate::net::poll::Event;
use crate::net::socket::Socket;
use crate::net::sys;
use crate::net::token::Token;
use crate::server::connection_log;
use crate::server::dispatch::{Dispatch, Job, Outcome, Served, contained};
use crate::server::peer::{Fate, Newcomer, Peer, Turn, Waiting};
use crate::server::stats::{ReactorStats, Stats};
use crate::wire::handler::Handler;
use crate::wire::reason::Reason;

/// Serves the peers of one reactor, one visit at a time.
///
/// A visit reads once, or a few times where that pays, handles what is whole and writes
/// what that gave; it leaves the peer either hungry for bytes or waiting for somebody
/// else.
pub(crate) struct Service<H: Handler> {
    pub(crate) dispatch: Dispatch<H>,
    scratch: Box<[u8]>,
    /// How many bytes all its connections hold, but for those that workers have.
    held: usize,
    /// How many they may before each is read from in smaller pieces.
    budget: usize,
    /// Whether they did since memory was last given back: messages that come in small
    /// pieces grow through blocks of all sizes, and leave the heap in holes.
    gorged: bool,
    /// That a peer has the next message ready as soon as it has its reply.
    encore: Bet,
    reactor: usize,
    thread: i32,
    stats: Arc<Stats>,
}

/// How often in a row a peer is read from: often enough to be worth the while, seldom
/// enough for the others not to notice.
const ENCORES: usize = 16;
/// How long that may take, with the time in which others had the CPU: twice as long as
/// with peers that answer at once, and no longer than others can be made to wait.
const VISIT: Duration = Duration::from_micros(500);

impl<H: Handler> Service<H> {
    /// For the thread that calls it, which is that reactor's.
    pub(crate) fn new(
        dispatch: Dispatch<H>,
        reactor: usize,
        budget: usize,
        stats: Arc<Stats>,
    ) -> Service<H> {
        let (scratch, thread) = (vec![0; SCRATCH].into(), sys::thread_id());
        let (held, gorged, encore) = (0, false, Bet::new());
        Service { dispatch, scratch, held, budget, gorged, encore, reactor, thread, stats }
    }

    /// A peer for a newcomer, unless the handler panics at it.
    pub(crate) fn open<T: Socket>(&mut self, newcomer: Newcomer<T>) -> Option<Peer<H::Session, T>> {
        self.stats().opened.add(1);
        let session = contained(|| self.dispatch.handler.opened(newcomer.address));
        let mut peer = Peer::new(newcomer, session);
        if peer.session.is_some() {
            return Some(peer);
        }
        self.stats().panics.add(1);
        self.close(Token::WAKE, &mut peer, Reason::Panic);
        None
    }

    /// Epoll has told something of the peer.
    pub(crate) fn ready<T: Socket>(
        &mut self,
        token: Token,
        peer: &mut Peer<H::Session, T>,
        event: Event,
    ) -> io::Result<Fate> {
        if event.is_error() {
            return Err(peer.connection.socket().failure());
        }
        if event.is_writable() {
            self.write(token, peer)?;
        }
        if event.is_readable() {
            let enough = peer.connection.tally().received + SCRATCH as u64;
            self.read(token, peer)?;
            self.read_on(token, peer, enough)?;
        }
        peer.fate()
    }

    /// Reads again, where that has lately paid and until `enough` was received: a peer
    /// that runs on our CPU, or was quick, has sent its next message before we would
    /// have been told, and is answered while everything about it is at hand.
    ///
    /// Here alone a message may cost more than a read and a write: a look at the clock, a
    /// read and a yield; and where it is in vain two reads, which the bet allows for as
    /// long as it pays.
    fn read_on<T: Socket>(
        &mut self,
        token: Token,
        peer: &mut Peer<H::Session, T>,
        enough: u64,
    ) -> io::Result<()> {
        let goes_on = |peer: &Peer<H::Session, T>| {
            peer.may_speak() && peer.connection.tally().received < enough
        };
        if !goes_on(peer) || !self.encore.is_on() {
            return Ok(());
        }
        let start = now();
        for _ in 0..ENCORES {
            let won = self.read_again(token, peer)?;
            // Also if it was we who were not let run: the others wait all the same.
            let outcome = match won {
                _ if now() - start > VISIT => bet::Outcome::Late,
                true => bet::Outcome::Won,
                false => bet::Outcome::Lost,
            };
            self.encore.settle(outcome);
            if outcome != bet::Outcome::Won || !goes_on(peer) {
                break;
            }
        }
        Ok(())
    }

    /// Reads once, and once more after others had the CPU. Says whether there was a message.
    fn read_again<T: Socket>(
        &mut self,
        token: Token,
        peer: &mut Peer<H::Session, T>,
    ) -> io::Result<bool> {
        let (messages, received) = (peer.messages, peer.connection.tally().received);
        self.read(token, peer)?;
        if peer.connection.tally().received == received && peer.may_speak() {
            thread::yield_now();
            self.read(token, peer)?;
        }
        Ok(peer.messages > messages)
    }

    /// The peer's job has come home.
    pub(crate) fn settle_job<T: Socket>(
        &mut self,
        token: Token,
        peer: &mut Peer<H::Session, T>,
        job: &mut Job<H::Session>,
    ) -> io::Result<Fate> {
        peer.resume();
        peer.session = job.session.take();
        peer.connection.inbound.append(job.rest());
        std::mem::swap(&mut self.dispatch.replies, &mut job.replies);
        if self.settle(peer, &job.served)? == Outcome::Full {
            self.proceed(token, peer, 0)?;
        }
        peer.fate()
    }

    /// Handles what the peer has sent, until it is hungry or has to wait.
    pub(crate) fn proceed<T: Socket>(
        &mut self,
        token: Token,
        peer: &mut Peer<H::Session, T>,
        mut searched: usize,
    ) -> io::Result<()> {
        while peer.turn == Turn::Ours && !peer.connection.has_unsent() {
            let bytes = peer.connection.inbound.as_slice();
            let served = self.dispatch.handle(token, &mut peer.session, bytes, searched);
            self.dispatch.replies.own(bytes);
            peer.connection.inbound.consume(served.consumed);
            if self.settle(peer, &served)? != Outcome::Full {
                break;
            }
            searched = 0;
        }
        Ok(())
    }

    /// The peer is done with: says so to the handler, the counters and the log.
    pub(crate) fn close<T: Socket>(
        &mut self,
        token: Token,
        peer: &mut Peer<H::Session, T>,
        reason: Reason,
    ) {
        self.held -= peer.connection.held();
        if let Some(session) = peer.session.take() {
            self.bid_farewell(session, reason);
        }
        match peer.turn {
            Turn::Ours => {}
            Turn::InLine => self.dispatch.leave_line(token),
            Turn::Worker => self.dispatch.orphan(token, reason),
        }
        if reason.resets() {
            peer.connection.socket().reset();
        }
        let now = self.stats.nanoseconds();
        // Counted first: who has read the line finds it in the counters.
        self.stats.count_close(self.reactor, now, reason);
        connection_log::closed(&peer.closed(self.thread, now, reason));
    }

    /// A job has come home to a connection that is gone: its session is told now.
    pub(crate) fn too_late(&mut self, job: &mut Job<H::Session>) {
        self.stats().stale.add(1);
        self.stats().messages.add(job.served.messages);
        self.count_panic(&job.served);
        if let (Some(session), Some(reason)) =
            (job.session.take(), self.dispatch.orphaned(job.token))
        {
            self.bid_farewell(session, reason);
        }
    }

    fn bid_farewell(&self, session: H::Session, reason: Reason) {
        let told = contained(|| self.dispatch.handler.closed(session, reason));
        self.stats().panics.add(u64::from(told.is_none()));
    }

    /// The handler's tick has come round.
    pub(crate) fn tick(&mut self) {
        let tick = contained(|| self.dispatch.handler.tick(self.reactor));
        self.stats().panics.add(u64::from(tick.is_none()));
    }

    /// A visit has made of a connection that had this tally, and held so much, what it
    /// is now.
    pub(crate) fn account<T>(&mut self, before: Tally, held: usize, connection: &Connection<T>) {
        let after = connection.tally();
        self.stats().received.add(after.received - before.received);
        self.stats().sent.add(after.sent - before.sent);
        self.held = self.held + connection.held() - held;
        if self.gorged && self.held <= self.budget / 1024 {
            self.gorged = false;
            sys::give_back_free_pages();
        }
    }

    /// What this reactor counts.
    pub(crate) fn stats(&self) -> &ReactorStats {
        &self.stats.reactors[self.reactor]
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Does what the peer has made possible and epoll has not told us yet: writes, or
    /// reads what has arrived.
    pub(crate) fn catch_up<T: Socket>(
        &mut self,
        token: Token,
        peer: &mut Peer<H::Session, T>,
        waiting: Waiting,
    ) -> io::Result<()> {
        if waiting == Waiting::Room {
            return self.write(token, peer);
        }
        let mut left = u64::from(peer.connection.socket().arrived()?);
        while left > 0 {
            let before = peer.connection.tally().received;
            self.read(token, peer)?;
            match peer.connection.tally().received - before {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        Ok(())
    }

    fn write<T: Socket>(&mut self, token: Token, peer: &mut Peer<H::Session, T>) -> io::Result<()> {
        peer.connection.flush()?;
        self.sent(peer);
        self.proceed(token, peer, 0)
    }

    fn read<T: Socket>(&mut self, token: Token, peer: &mut Peer<H::Session, T>) -> io::Result<()> {
        let room = peer.allowance(self.most_at_once());
        if room == 0 {
            return Ok(());
        }
        match peer.connection.receive(&mut self.scratch[..room])? {
            Received::NotYet => Ok(()),
            Received::Eof => {
                peer.finish(Reason::Eof);
                Ok(())
            }
            Received::Bytes(count) if peer.took(count) => self.take_in(token, peer, count),
            Received::Bytes(count) => {
                self.stats().discarded.add(count as u64);
                Ok(())
            }
        }
    }

    fn most_at_once(&mut self) -> usize {
        if self.held < self.budget {
            return SCRATCH;
        }
        self.stats().slim.add(1);
        self.gorged = true;
        SLIM
    }

    /// Handles the bytes in the scratch buffer, where they are if it can be. They stay there
    /// until the next read, for replies to repeat them.
    fn take_in<T: Socket>(
        &mut self,
        token: Token,
        peer: &mut Peer<H::Session, T>,
        count: usize,
    ) -> io::Result<()> {
        let held = peer.connection.inbound.len();
        if held > 0 {
            peer.connection.inbound.append(&self.scratch[..count]);
            return self.proceed(token, peer, held);
        }
        let bytes = &self.scratch[..count];
        let served = self.dispatch.handle(token, &mut peer.session, bytes, 0);
        peer.connection.inbound.append(&bytes[served.consumed..]);
        match self.settle(peer, &served)? {
            Outcome::Full => self.proceed(token, peer, 0),
            _ => Ok(()),
        }
    }

    /// Sends the replies, and draws the consequences.
    fn settle<T: Socket>(
        &mut self,
        peer: &mut Peer<H::Session, T>,
        served: &Served,
    ) -> io::Result<Outcome> {
        peer.messages += served.messages;
        self.stats().messages.add(served.messages);
        self.count_panic(served);
        self.send(peer)?;
        match served.outcome {
            Outcome::Hungry | Outcome::Full => {}
            Outcome::Away => peer.turn = Turn::Worker,
            Outcome::NoJob => {
                self.stats().waits.add(1);
                peer.turn = Turn::InLine;
            }
            Outcome::Failed(reason) => peer.give_up(reason),
        }
        Ok(served.outcome)
    }

    fn count_panic(&self, served: &Served) {
        let panicked = served.outcome == Outcome::Failed(Reason::Panic);
        self.stats().panics.add(u64::from(panicked));
    }

    fn send<T: Socket>(&mut self, peer: &mut Peer<H::Session, T>) -> io::Result<()> {
        // Those to other bytes than these were made to do without.
        let replies = self.dispatch.replies.as_slice(&self.scratch);
        if replies.is_empty() {
            return Ok(());
        }
        let result = peer.connection.send(replies);
        // Whatever came of it: the next peer must not get them.
        self.dispatch.clear_replies();
        result?;
        self.sent(peer);
        Ok(())
    }

    /// Tells the handler if all replies have left.
    fn sent<T: Socket>(&mut self, peer: &mut Peer<H::Session, T>) {
        if let (false, Some(session)) = (peer.connection.has_unsent(), &mut peer.session)
            && contained(|| self.dispatch.handler.sent(session)).is_none()
        {
            self.stats().panics.add(1);
            peer.give_up(Reason::Panic);
        }
    }
}
