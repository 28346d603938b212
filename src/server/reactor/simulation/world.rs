//! One simulated server: a reactor, its clients, its workers, and time.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::checker::Checker;
use super::client::Client;
use super::handler::{Conversation, ScriptedHandler};
use super::pushes::{LONGEST, Ports, Posted};
use super::rng::Rng;
use super::wire::ScriptedSocket;
use crate::net::clock::scripted::{advance, now};
use crate::net::connection::SCRATCH;
use crate::net::mailbox::Mailbox;
use crate::net::poll::Event;
use crate::net::token::Token;
use crate::server::budget::REDUCED_READ;
use crate::server::connection_log::ConnectionLog;
use crate::server::mail::{Mail, Newcomer};
use crate::server::push::WhenFull;
use crate::server::reactor::Reactor;
use crate::server::workers::Job;

/// Everything in one simulation.
pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) reactor: Reactor<ScriptedHandler, ScriptedSocket>,
    pub(super) mailbox: Mailbox<Mail<Conversation, ScriptedSocket>>,
    /// How many bytes connections may hold before reads are reduced.
    pub(super) budget: usize,
    /// What other threads are about to send to the reactor.
    pub(super) mail: VecDeque<Mail<Conversation, ScriptedSocket>>,
    /// What handles have sent.
    pub(super) posted: Posted,
    pub(super) queue: Receiver<Box<Job<Conversation>>>,
    /// The jobs that workers have taken.
    #[expect(clippy::vec_box, reason = "boxed they come, and boxed they go home")]
    pub(super) at_work: Vec<Box<Job<Conversation>>>,
    /// The clients that have not connected yet.
    pub(super) expected: Vec<Client>,
    /// The clients that have connected, and all that is checked in the end.
    pub(super) checker: Checker,
    /// When it drains.
    pub(super) drain_at: usize,
    /// How long the reactor would wait.
    pub(super) timeout: Option<Duration>,
}

/// What one simulation did.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// Turns of the reactor.
    pub(super) turns: usize,
    /// Bytes that clients received, all compared.
    pub(super) bytes: usize,
}

/// No seed needs half as many turns.
const TOO_MANY: usize = 20_000;

impl World {
    /// Runs to the end.
    pub(super) fn run(mut self) -> Result<Totals, String> {
        for turns in 0..TOO_MANY {
            if self.reactor.has_ended() {
                return self.end().map(|bytes| Totals { turns, bytes });
            }
            self.act(turns)?;
            self.deliver();
            let events = self.events();
            self.pass_time(events.is_empty());
            self.timeout = self.reactor.run_once(events.into_iter());
            self.post();
            self.check_held()?;
            self.check_deadlines()?;
            self.check_drain_turns()?;
        }
        Err(format!("it does not end: {:?}", self.checker.clients))
    }

    /// What other threads and clients do between two turns of the reactor.
    fn act(&mut self, turn: usize) -> Result<(), String> {
        if self.checker.drain_by.is_none() && self.rng.chance(200) {
            self.connect();
        }
        for client in &mut self.checker.clients {
            client.act(&mut self.rng)?;
        }
        self.push();
        self.work();
        let over =
            self.expected.is_empty() && self.reactor.peers.is_empty() && self.mail.is_empty();
        if self.checker.drain_by.is_none() && (over || turn >= self.drain_at) {
            self.drain();
        }
        Ok(())
    }

    fn connect(&mut self) {
        let Some(mut client) = self.expected.pop() else { return };
        let Some(seat) = self.checker.seats.take() else { return self.expected.push(client) };
        let (socket, address) = (
            ScriptedSocket::new(&client.wire),
            SocketAddr::from((Ipv4Addr::LOCALHOST, client.port)),
        );
        client.since = now();
        let log = ConnectionLog::default();
        self.mail.push_back(Mail::Adopt(Newcomer { socket, address, opened: 0, log, seat }));
        self.checker.pushes.note_connected(client.port);
        self.checker.clients.push(client);
    }

    /// Other threads send to connections or close them, and to some that are gone.
    fn push(&mut self) {
        if !self.checker.handler.pushing || !self.rng.chance(200) {
            return;
        }
        let named = self.checker.pushes.named();
        if named.is_empty() {
            return;
        }
        let port = self.rng.pick(&named);
        let ports = match self.rng.below(6) {
            0 => Ports::All,
            1 => Ports::AllBut(port),
            2 => Ports::Many((0..self.rng.below(4)).map(|_| self.rng.pick(&named)).collect()),
            _ => Ports::Many(vec![port]),
        };
        let size = self.rng.pick(&[0, 1, 20, 100, 100, LONGEST - 100]);
        let when_full = self.rng.pick(&[WhenFull::Drop, WhenFull::Drop, WhenFull::Close]);
        // No client has such a port.
        let sender = 100 + self.rng.below(3) as u16;
        let server = &self.checker.server;
        self.checker.pushes.send(server, (sender, 0), ports, size, when_full);
        if self.rng.chance(5)
            && let Some(id) = self.checker.pushes.id(port)
            && server.close(id).is_ok()
        {
            self.checker.pushes.note_close();
            let client = self.checker.clients.iter_mut().find(|client| client.port == port);
            client.expect("it has connected").told_to_close = true;
        }
        self.post();
    }

    /// What was sent through handles is mail, from now on.
    fn post(&mut self) {
        self.mail.extend(self.posted.take().into_iter().map(Mail::Push));
    }

    /// The workers take jobs, finish some, or are slow.
    fn work(&mut self) {
        if self.rng.chance(300) {
            self.at_work.extend(self.queue.try_recv());
        }
        if !self.at_work.is_empty() && self.rng.chance(300) {
            let mut job = self.at_work.swap_remove(self.rng.below(self.at_work.len()));
            job.run(&self.checker.server, &*self.checker.handler);
            self.post();
            self.mail.push_back(Mail::Finish(job));
        }
    }

    fn drain(&mut self) {
        self.checker.clients.iter_mut().for_each(Client::note_drain);
        let time = self.rng.pick(&[0, 50, 2000, 2000, 2000]);
        let spread = if time == 0 { Duration::ZERO } else { self.reactor.drain_spread };
        let by = now() + Duration::from_millis(time) + spread;
        self.checker.drain_by = Some(by);
        // What was sent before is mail already. What is sent from now on is refused.
        self.checker.server.drain();
        let stops = time == 0 && self.rng.chance(500);
        self.mail.push_back(if stops { Mail::Stop } else { Mail::Drain(by) });
    }

    /// Delivers some of the mail, in the order in which it was sent.
    fn deliver(&mut self) {
        while self.rng.chance(700)
            && let Some(mail) = self.mail.pop_front()
        {
            self.mailbox.send(mail);
        }
    }

    /// Mostly a little time, sometimes until the next deadline if all is quiet, rarely much.
    fn pass_time(&mut self, quiet: bool) {
        let time = match self.rng.below(100) {
            0..5 if quiet => self.timeout.unwrap_or_default(),
            99 => Duration::from_millis(self.rng.below(200) as u64),
            _ => Duration::from_micros(self.rng.below(2000) as u64),
        };
        advance(time);
    }

    /// What epoll reports: some of what is ready, in any order. It reports the rest later.
    fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        let tokens: Vec<Token> = self.reactor.peers.tokens().collect();
        for token in tokens {
            let peer = self.reactor.peers.get_mut(token).expect("a peer that is in");
            let watched = peer.watched().expect("a peer that is watched");
            let ready = watched.filter(peer.socket().ready());
            if ready != 0 && self.rng.chance(700) {
                events.insert(self.rng.below(events.len() + 1), Event::scripted(token, ready));
            }
        }
        events
    }

    /// Checks that the reactor's count of held bytes is right, and within its bound.
    fn check_held(&mut self) -> Result<(), String> {
        let tokens: Vec<Token> = self.reactor.peers.tokens().collect();
        let peers = &mut self.reactor.peers;
        let held_by = |&token: &Token| peers.get_mut(token).map_or(0, |peer| peer.held());
        let held: usize = tokens.iter().map(held_by).sum();
        let thought = self.reactor.shared.budget.held();
        if held != thought {
            return Err(format!("{held} bytes are held, not {thought}"));
        }
        // One byte over the budget reduces all reads.
        let held_by_each = REDUCED_READ + REDUCED_READ.max(LONGEST);
        let bound = self.budget.min(1) * (self.budget + SCRATCH) + tokens.len() * held_by_each;
        if self.checker.handler.raw && held > bound {
            return Err(format!("{held} bytes are held for {} peers", tokens.len()));
        }
        Ok(())
    }

    /// Checks that every peer with a time limit is in the timer wheel.
    fn check_deadlines(&mut self) -> Result<(), String> {
        let tokens: Vec<Token> = self.reactor.peers.tokens().collect();
        for token in tokens {
            let peer = self.reactor.peers.get_mut(token).expect("a peer that is in");
            if self.reactor.patience.has_forgotten(peer.deadline(), peer.waiting()) {
                return Err(format!("nothing reports {peer:?}"));
            }
        }
        Ok(())
    }

    /// Checks that no peer is drained late.
    fn check_drain_turns(&self) -> Result<(), String> {
        let (turns, now) = (&self.reactor.drain_turns, self.reactor.patience.now());
        match turns.next() {
            Some(due) if due <= now => Err(format!("a turn is over: {turns:?}")),
            _ => Ok(()),
        }
    }

    /// Checks that nothing is left and that every client was served.
    fn end(self) -> Result<usize, String> {
        let World { reactor, mailbox, checker, .. } = self;
        let peers = reactor.peers.len();
        if peers > 0 || !reactor.shared.is_idle() && !checker.is_cut_short() {
            return Err(format!("{peers} peers are left, or jobs out"));
        }
        drop((reactor, mailbox));
        checker.check()
    }
}
