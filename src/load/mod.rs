//! The load client: connections that ask, and check every byte of the answers.
//!
//! A [`Plan`] says what is to be done, [`Load`] does it with one or more
//! generator threads, and an [`Outcome`] says what came of it. The
//! parts are the server's own: `Poll`, `Slab`, `Connection`, `Codec`, mailboxes.

mod generator;
mod lane;
mod opener;
mod outcome;
mod plan;
mod schedule;
mod script;
mod sources;
mod talk;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use crate::net::counter::Counter;
use crate::net::mailbox::{EventLoop, Mailbox};
use generator::Generator;
use script::Script;

pub use opener::CONNECTING;
pub use outcome::{Connections, Outcome};
pub use plan::{Plan, Verify};
pub use sources::{Sources, port_range};

/// All that a generator can be told.
#[derive(Debug)]
enum Order {
    /// All connections of all threads are open, as far as they ever will be: talk.
    Start(Start),
    /// All is said by everybody, and was held for long enough: echo once more.
    LastEcho,
    /// Give up what is under way and report.
    Stop,
}

/// Where one generator stands among all, when they start.
#[derive(Debug, Clone, Copy)]
struct Start {
    at: Instant,
    /// How many connections are open, of all generators.
    lanes: u64,
    /// How many of these come before its own.
    first: u64,
}

/// All that a load is told.
#[derive(Debug)]
enum News {
    /// The generator of this number has come so far.
    Reached(usize, Stretch),
    /// The generator of this number has ended.
    Done(usize, Box<io::Result<Outcome>>),
    /// Hold no longer.
    Release,
}

/// How far a generator has come, or all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stretch {
    #[default]
    Opening,
    /// Its connections are open, so many, or have failed.
    Open(u64),
    /// From here on its messages count.
    Counting,
    /// All is said, and its connections are held.
    Holding,
    Over,
}

/// How far a load has come, all its threads together.
#[derive(Debug)]
pub enum Milestone {
    /// All connections are open, or have failed. Nothing is sent before
    /// [`Load::talk`].
    Open,
    /// From here on messages count: the warm-up is over, if there was one.
    Counting,
    /// All is said, and the connections are held.
    Holding,
    /// The end.
    Over(Box<Outcome>),
}

/// How far a generator has come, for whoever watches.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Progress {
    opened: Counter,
    open: Counter,
    messages: Counter,
    errors: Counter,
}

/// How far a load has come, in figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many connections were opened.
    pub opened: u64,
    /// How many are open now.
    pub open: u64,
    /// How many replies have come, of those that count.
    pub messages: u64,
    /// How many connections failed, to open or later, or had wrong bytes.
    pub errors: u64,
}

/// A load that is running.
#[derive(Debug)]
pub struct Load {
    generators: Vec<Mailbox<Order>>,
    progress: Arc<[Progress]>,
    news: Receiver<News>,
    tell: Sender<News>,
    /// How far each generator has come.
    reached: Vec<Stretch>,
    /// How far all had come when that was last said.
    said: Stretch,
    /// How many connections each has to talk on.
    open: Vec<u64>,
    hold: Duration,
    /// Until when connections are held.
    held_until: Option<Instant>,
    outcomes: Vec<Outcome>,
}

/// Gives orders to a load, from any thread.
#[derive(Debug, Clone)]
pub struct Control {
    generators: Vec<Mailbox<Order>>,
    tell: Sender<News>,
}

impl Control {
    /// Has the load give up what is under way and say what it has.
    pub fn stop(&self) {
        self.generators.iter().for_each(|generator| generator.send(Order::Stop));
    }

    /// Has connections that are held be held no longer.
    pub fn release(&self) {
        // Nobody hears it if the load is over.
        let _ = self.tell.send(News::Release);
    }
}

impl Load {
    /// Starts to connect.
    ///
    /// # Errors
    /// A thread cannot be started, or descriptors are short.
    pub fn start(plan: &Plan) -> io::Result<Load> {
        let (tell, news) = crossbeam_channel::unbounded();
        let event_loops: Vec<_> =
            (0..plan.threads).map(|_| EventLoop::new()).collect::<io::Result<_>>()?;
        let (said, held_until, outcomes) = Default::default();
        let load = Load {
            generators: event_loops.iter().map(|(_, mailbox)| mailbox.clone()).collect(),
            progress: event_loops.iter().map(|_| Progress::default()).collect(),
            news,
            tell,
            reached: vec![Stretch::Opening; plan.threads],
            said,
            open: vec![0; plan.threads],
            hold: plan.hold.unwrap_or_default(),
            held_until,
            outcomes,
        };
        let script = Arc::new(Script::new(plan));
        for (number, (event_loop, _)) in event_loops.into_iter().enumerate() {
            load.spawn(number, event_loop, plan.share(number), Arc::clone(&script))?;
        }
        Ok(load)
    }

    fn spawn(
        &self,
        number: usize,
        event_loop: EventLoop<Order>,
        plan: Plan,
        script: Arc<Script>,
    ) -> io::Result<()> {
        let (progress, tell) = (Arc::clone(&self.progress), self.tell.clone());
        let run = move || {
            let generator =
                Generator::new(event_loop, plan, script, number, &progress[number], tell.clone());
            let result = catch_unwind(AssertUnwindSafe(|| generator.run()))
                .unwrap_or_else(|_| Err(io::Error::other("a load thread has panicked")));
            let _ = tell.send(News::Done(number, Box::new(result)));
        };
        thread::Builder::new().name(format!("load-{number}")).spawn(run).map(drop)
    }

    /// For giving it orders.
    pub fn control(&self) -> Control {
        Control { generators: self.generators.clone(), tell: self.tell.clone() }
    }

    /// How far it has come.
    pub fn figures(&self) -> Figures {
        let sum = |counter: fn(&Progress) -> &Counter| {
            self.progress.iter().map(|progress| counter(progress).get()).sum()
        };
        Figures {
            opened: sum(|progress| &progress.opened),
            open: sum(|progress| &progress.open),
            messages: sum(|progress| &progress.messages),
            errors: sum(|progress| &progress.errors),
        }
    }

    /// Has the connections talk. To be called once, at [`Milestone::Open`].
    pub fn talk(&self) {
        let (at, lanes, mut first) = (Instant::now(), self.open.iter().sum(), 0);
        for (generator, open) in self.generators.iter().zip(&self.open) {
            generator.send(Order::Start(Start { at, lanes, first }));
            first += open;
        }
    }

    /// Waits for the next milestone, but not longer than `patience`: `None` says that
    /// it has not come yet. Those between the first and the last are left out if the
    /// load ends early.
    ///
    /// # Errors
    /// A generator has failed by a mistake of ours.
    pub fn next(&mut self, patience: Duration) -> io::Result<Option<Milestone>> {
        let until = Instant::now() + patience;
        while let Some(news) = self.hear(until) {
            match news {
                News::Reached(number, stretch) => self.reach(number, stretch),
                News::Release => self.held_until = self.held_until.map(|_| Instant::now()),
                News::Done(number, outcome) => {
                    self.outcomes.push((*outcome)?);
                    self.reach(number, Stretch::Over);
                }
            }
            if let Some(milestone) = self.milestone() {
                return Ok(Some(milestone));
            }
        }
        Ok(None)
    }

    /// The next news, if there are any before `until`. Meanwhile it sees to it that
    /// nothing is held for too long.
    fn hear(&mut self, until: Instant) -> Option<News> {
        loop {
            let moment = self.held_until.map_or(until, |held| held.min(until));
            if let Ok(news) = self.news.recv_deadline(moment) {
                return Some(news);
            }
            if self.held_until.is_some_and(|held| held <= Instant::now()) {
                self.held_until = None;
                self.generators.iter().for_each(|generator| generator.send(Order::LastEcho));
            }
            if until <= Instant::now() {
                return None;
            }
        }
    }

    fn reach(&mut self, number: usize, stretch: Stretch) {
        self.reached[number] = stretch;
        if let Stretch::Open(open) = stretch {
            self.open[number] = open;
        }
    }

    /// What is to be said of how far all have come, if that is news.
    fn milestone(&mut self) -> Option<Milestone> {
        let all = self.reached.iter().copied().min()?;
        let before = std::mem::replace(&mut self.said, all);
        if std::mem::discriminant(&before) == std::mem::discriminant(&all) {
            return None;
        }
        match all {
            Stretch::Opening => None,
            Stretch::Open(_) => Some(Milestone::Open),
            Stretch::Counting => Some(Milestone::Counting),
            Stretch::Holding => {
                self.held_until = Some(Instant::now() + self.hold);
                Some(Milestone::Holding)
            }
            Stretch::Over => {
                let outcomes = std::mem::take(&mut self.outcomes).into_iter();
                outcomes.reduce(Outcome::merge).map(|outcome| Milestone::Over(Box::new(outcome)))
            }
        }
    }
}
