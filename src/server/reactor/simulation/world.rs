//! One simulated server: a reactor, its clients, its workers, and time.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::actor::Actor;
use super::company::Company;
use super::dice::Dice;
use super::speaker::Speaker;
use super::wire::Script;
use crate::net::clock::scripted::{advance, now};
use crate::net::connection::{SCRATCH, SLIM};
use crate::net::mailbox::Mailbox;
use crate::net::poll::Event;
use crate::net::token::Token;
use crate::server::dispatch::Job;
use crate::server::mail::Mail;
use crate::server::peer::Newcomer;
use crate::server::reactor::Reactor;
use crate::wire::codec::Codec;

/// Everything there is.
pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) reactor: Reactor<Actor, Script>,
    pub(super) mailbox: Mailbox<Mail<u16, Script>>,
    /// How many bytes connections may hold before little is read of each.
    pub(super) budget: usize,
    /// What others are about to send to the reactor.
    pub(super) post: VecDeque<Mail<u16, Script>>,
    pub(super) codec: Arc<Codec>,
    pub(super) queue: Receiver<Box<Job<u16>>>,
    /// The jobs that workers are at.
    #[expect(clippy::vec_box, reason = "boxed they come, and boxed they go home")]
    pub(super) at_work: Vec<Box<Job<u16>>>,
    /// Those who have not connected yet.
    pub(super) expected: Vec<Speaker>,
    /// Those who have.
    pub(super) company: Company,
    /// When it drains.
    pub(super) drain_at: usize,
}

/// What a world came to.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// Of the reactor.
    pub(super) turns: usize,
    /// Heard by clients, and compared with what they should hear.
    pub(super) bytes: usize,
}

/// No seed needs half as many turns.
const TOO_MANY: usize = 20_000;

impl World {
    /// Lives to its end.
    pub(super) fn live(mut self) -> Result<Life, String> {
        for turns in 0..TOO_MANY {
            if self.reactor.has_drained() {
                return self.end().map(|bytes| Life { turns, bytes });
            }
            self.act(turns)?;
            self.deliver();
            let events = self.events();
            self.pass_time(events.is_empty());
            self.reactor.turn(events.into_iter());
            self.compare_held()?;
            self.find_forgotten()?;
        }
        Err(format!("it does not end: {:?}", self.company.speakers))
    }

    /// Whatever others do between two turns of the reactor.
    fn act(&mut self, turn: usize) -> Result<(), String> {
        if self.company.drain_by.is_none() && self.dice.chance(200) {
            self.connect();
        }
        for speaker in &mut self.company.speakers {
            speaker.act(&mut self.dice)?;
        }
        self.work();
        let over =
            self.expected.is_empty() && self.reactor.peers.is_empty() && self.post.is_empty();
        if self.company.drain_by.is_none() && (over || turn >= self.drain_at) {
            self.drain();
        }
        Ok(())
    }

    fn connect(&mut self) {
        let Some(mut speaker) = self.expected.pop() else { return };
        let Some(seat) = self.company.seats.take() else { return self.expected.push(speaker) };
        let (socket, address) =
            (Script::new(&speaker.wire), SocketAddr::from((Ipv4Addr::LOCALHOST, speaker.port)));
        speaker.since = now();
        self.post.push_back(Mail::Adopt(Newcomer { socket, address, opened: 0, seat }));
        self.company.speakers.push(speaker);
    }

    /// The workers take jobs, are done with some, or are slow.
    fn work(&mut self) {
        if self.dice.chance(300) {
            self.at_work.extend(self.queue.try_recv());
        }
        if !self.at_work.is_empty() && self.dice.chance(300) {
            let mut job = self.at_work.swap_remove(self.dice.roll(self.at_work.len()));
            job.handle(&self.codec, &*self.company.actor);
            self.post.push_back(Mail::Done(job));
        }
    }

    fn drain(&mut self) {
        self.company.speakers.iter_mut().for_each(Speaker::note_drain);
        let time = self.dice.pick(&[0, 50, 2000, 2000, 2000]);
        let by = now() + Duration::from_millis(time);
        self.company.drain_by = Some(by);
        self.post.push_back(Mail::Drain(by));
    }

    /// Some of the letters arrive, in the order in which they were posted.
    fn deliver(&mut self) {
        while self.dice.chance(700)
            && let Some(mail) = self.post.pop_front()
        {
            self.mailbox.send(mail);
        }
    }

    /// Mostly a little, where all is quiet sometimes until the next deadline, seldom much.
    fn pass_time(&mut self, quiet: bool) {
        let time = match self.dice.roll(100) {
            0..5 if quiet => self.reactor.timeout().unwrap_or_default(),
            99 => Duration::from_millis(self.dice.roll(200) as u64),
            _ => Duration::from_micros(self.dice.roll(2000) as u64),
        };
        advance(time);
    }

    /// What epoll tells of: some of what is ready, in any order. What it leaves out it
    /// tells of later.
    fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        let tokens: Vec<Token> = self.reactor.peers.tokens().collect();
        for token in tokens {
            let peer = self.reactor.peers.get_mut(token).expect("a peer that is in");
            let watched = peer.watched.expect("a peer that is watched");
            let ready = watched.filter(peer.connection.socket().ready());
            if ready != 0 && self.dice.chance(700) {
                events.insert(self.dice.roll(events.len() + 1), Event::scripted(token, ready));
            }
        }
        events
    }

    /// What the reactor thinks that its connections hold must be what they hold, and
    /// no more than they may.
    fn compare_held(&mut self) -> Result<(), String> {
        let tokens: Vec<Token> = self.reactor.peers.tokens().collect();
        let peers = tokens.iter().filter_map(|&token| {
            self.reactor.peers.get_mut(token).map(|peer| peer.connection.held())
        });
        let (held, thought) = (peers.sum::<usize>(), self.reactor.service.held());
        if held != thought {
            return Err(format!("{held} bytes are held, not {thought}"));
        }
        // One byte over the budget stops all that read much.
        let bound = self.budget.min(1) * (self.budget + SCRATCH) + tokens.len() * SLIM;
        if self.company.actor.raw && held > bound {
            return Err(format!("{held} bytes are held for {} peers", tokens.len()));
        }
        Ok(())
    }

    /// Whoever was given a time must come up when it is over.
    fn find_forgotten(&mut self) -> Result<(), String> {
        let tokens: Vec<Token> = self.reactor.peers.tokens().collect();
        let now = self.reactor.timing.clock.now();
        for token in tokens {
            let peer = self.reactor.peers.get_mut(token).expect("a peer that is in");
            let waiting = peer.waiting();
            let limit = waiting.limit(&self.company.timeouts);
            let overdue = peer.timed.armed.is_none_or(|armed| !armed.age(now).is_zero());
            if waiting.next_look(limit).is_some() && overdue {
                return Err(format!("nobody looks at {peer:?}"));
            }
        }
        Ok(())
    }

    /// Nothing may be left, and everybody must have been served.
    fn end(self) -> Result<usize, String> {
        let World { reactor, mailbox, company, .. } = self;
        let peers = reactor.peers.len();
        if peers > 0 || !reactor.service.dispatch.is_idle() && !company.is_cut_short() {
            return Err(format!("{peers} peers are left, or jobs out"));
        }
        drop((reactor, mailbox));
        company.judge()
    }
}
