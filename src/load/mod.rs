//! The load client: connections that ask, and check every byte of the answers.
//!
//! A [`Plan`] says what is to be done, [`Load`] does it with one or more
//! generator threads, and an [`Outcome`] says what came of it. The
//! parts are the server's own: `Poll`, `Slab`, `Connection`, `Codec`, mailboxes.

mod generator;
mod lane;
mod opener;
mod outcome;
mod pace;
mod plan;
mod script;
mod sources;
mod talk;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::mailbox::{Desk, Mailbox, desk};
use crate::stats::Counter;
use generator::Generator;
use script::Script;

pub use outcome::{Connections, Outcome};
pub use plan::{Plan, Verify};
pub use sources::{Sources, port_range};

/// All that a generator can be told.
#[derive(Debug)]
enum Order {
    /// All connections of all threads are open, as far as they ever will be: talk.
    Start(Start),
    /// Hold no longer.
    Release,
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

/// All that a generator tells.
#[derive(Debug)]
enum News {
    /// The generator of this number has so many connections open, and fails to open
    /// the others.
    Ready(usize, u64),
    /// From here on its messages count.
    Counting,
    /// All is said, and its connections are held.
    Holding,
    /// It has ended.
    Done(Box<io::Result<Outcome>>),
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
    /// How many connections each generator has open, once it has said so.
    ready: Vec<Option<u64>>,
    counting: usize,
    holding: usize,
    outcomes: Vec<Outcome>,
}

/// Gives orders to a load, from any thread.
#[derive(Debug, Clone)]
pub struct Control(Vec<Mailbox<Order>>);

impl Control {
    /// Has the load give up what is under way and say what it has.
    pub fn stop(&self) {
        self.0.iter().for_each(|generator| generator.send(Order::Stop));
    }

    /// Has the connections held no longer than until now.
    pub fn release(&self) {
        self.0.iter().for_each(|generator| generator.send(Order::Release));
    }
}

impl Load {
    /// Starts to connect.
    ///
    /// # Errors
    /// A thread cannot be started, or descriptors are short.
    pub fn start(plan: &Plan) -> io::Result<Load> {
        let (tell, news) = crossbeam_channel::unbounded();
        let desks: Vec<_> = (0..plan.threads).map(|_| desk()).collect::<io::Result<_>>()?;
        let (counting, holding, outcomes) = Default::default();
        let load = Load {
            generators: desks.iter().map(|(_, mailbox)| mailbox.clone()).collect(),
            progress: desks.iter().map(|_| Progress::default()).collect(),
            news,
            ready: vec![None; plan.threads],
            counting,
            holding,
            outcomes,
        };
        let script = Arc::new(Script::new(plan));
        for (number, (desk, _)) in desks.into_iter().enumerate() {
            load.spawn(number, desk, plan.share(number), Arc::clone(&script), tell.clone())?;
        }
        Ok(load)
    }

    fn spawn(
        &self,
        number: usize,
        desk: Desk<Order>,
        plan: Plan,
        script: Arc<Script>,
        tell: Sender<News>,
    ) -> io::Result<()> {
        let progress = Arc::clone(&self.progress);
        let run = move || {
            let generator =
                Generator::new(desk, plan, script, number, &progress[number], tell.clone());
            let result = catch_unwind(AssertUnwindSafe(|| generator.run()))
                .unwrap_or_else(|_| Err(io::Error::other("a load thread has panicked")));
            let _ = tell.send(News::Done(Box::new(result)));
        };
        thread::Builder::new().name(format!("load-{number}")).spawn(run).map(drop)
    }

    /// For giving it orders.
    pub fn control(&self) -> Control {
        Control(self.generators.clone())
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
        let lanes = self.ready.iter().flatten().sum();
        let (at, mut first) = (Instant::now(), 0);
        for (generator, open) in self.generators.iter().zip(self.ready.iter().flatten()) {
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
        loop {
            match self.news.recv_deadline(until) {
                Ok(news) => {
                    if let Some(milestone) = self.hear(news)? {
                        return Ok(Some(milestone));
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("a load thread has panicked"));
                }
            }
        }
    }

    fn hear(&mut self, news: News) -> io::Result<Option<Milestone>> {
        let all = self.generators.len();
        Ok(match news {
            News::Ready(number, open) => {
                self.ready[number] = Some(open);
                self.ready.iter().all(Option::is_some).then_some(Milestone::Open)
            }
            News::Counting => {
                self.counting += 1;
                (self.counting == all).then_some(Milestone::Counting)
            }
            News::Holding => {
                self.holding += 1;
                self.all_hold().then_some(Milestone::Holding)
            }
            News::Done(outcome) => {
                self.outcomes.push((*outcome)?);
                match self.merged() {
                    Some(outcome) => Some(Milestone::Over(Box::new(outcome))),
                    None => self.all_hold().then_some(Milestone::Holding),
                }
            }
        })
    }

    /// Whether every generator has just come to hold its connections, but those that have
    /// none left.
    fn all_hold(&self) -> bool {
        self.holding > 0 && self.holding + self.outcomes.len() == self.generators.len()
    }

    fn merged(&mut self) -> Option<Outcome> {
        let is_over = self.outcomes.len() == self.generators.len();
        let outcomes = is_over.then(|| std::mem::take(&mut self.outcomes))?;
        outcomes.into_iter().reduce(Outcome::merge)
    }
}
