//! The load client: connections that ask, and check every byte of the answers.
//!
//! A [`Plan`] says what is to be done, [`Load`] does it with one or more
//! generator threads, and an [`Outcome`] says what came of it. The
//! parts are the server's own: `Poll`, `Slab`, `Connection`, `Codec`, mailboxes.

mod generator;
mod lane;
mod outcome;
mod plan;
mod script;
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

/// All that a generator can be told.
#[derive(Debug)]
enum Order {
    /// All connections of all threads are open, as far as they ever will be.
    Start,
    /// Give up what is under way and report.
    Stop,
}

/// All that a generator tells.
#[derive(Debug)]
enum News {
    /// Its connections are open, or have failed.
    Ready,
    /// It has ended.
    Done(Box<io::Result<Outcome>>),
}

/// How far a generator has come, for whoever watches.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Progress {
    opened: Counter,
    messages: Counter,
}

/// A load that is running.
#[derive(Debug)]
pub struct Load {
    generators: Vec<Mailbox<Order>>,
    progress: Arc<[Progress]>,
    news: Receiver<News>,
    ready: usize,
    outcomes: Vec<Outcome>,
}

/// Stops a load, from any thread.
#[derive(Debug, Clone)]
pub struct Stopper(Vec<Mailbox<Order>>);

impl Stopper {
    /// Has the load give up what is under way and say what it has.
    pub fn stop(&self) {
        self.0.iter().for_each(|generator| generator.send(Order::Stop));
    }
}

impl Load {
    /// Starts to connect. The first message is sent when all connections are open.
    ///
    /// # Errors
    /// A thread cannot be started, or descriptors are short.
    pub fn start(plan: &Plan) -> io::Result<Load> {
        let (tell, news) = crossbeam_channel::unbounded();
        let desks: Vec<_> = (0..plan.threads).map(|_| desk()).collect::<io::Result<_>>()?;
        let load = Load {
            generators: desks.iter().map(|(_, mailbox)| mailbox.clone()).collect(),
            progress: desks.iter().map(|_| Progress::default()).collect(),
            news,
            ready: 0,
            outcomes: Vec::new(),
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
        let first = number as u32;
        let run = move || {
            let generator = Generator::new(desk, plan, script, first, &progress[number]);
            let run = || generator.run(|| drop(tell.send(News::Ready)));
            let result = catch_unwind(AssertUnwindSafe(run))
                .unwrap_or_else(|_| Err(io::Error::other("a load thread has panicked")));
            let _ = tell.send(News::Done(Box::new(result)));
        };
        thread::Builder::new().name(format!("load-{number}")).spawn(run).map(drop)
    }

    /// For stopping it before its time.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.generators.clone())
    }

    /// How many connections were opened, and how many replies have come, so far.
    pub fn progress(&self) -> (u64, u64) {
        let sum = |counter: fn(&Progress) -> &Counter| {
            self.progress.iter().map(|progress| counter(progress).get()).sum()
        };
        (sum(|progress| &progress.opened), sum(|progress| &progress.messages))
    }

    /// Waits for the end, but not longer than `patience`: `None` says that it has
    /// not come yet.
    ///
    /// # Errors
    /// A generator has failed by a mistake of ours.
    pub fn wait(&mut self, patience: Duration) -> io::Result<Option<Outcome>> {
        let until = Instant::now() + patience;
        while self.outcomes.len() < self.generators.len() {
            match self.news.recv_deadline(until) {
                Ok(News::Ready) => self.one_more_is_ready(),
                Ok(News::Done(outcome)) => self.outcomes.push((*outcome)?),
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("a load thread has panicked"));
                }
            }
        }
        Ok(std::mem::take(&mut self.outcomes).into_iter().reduce(Outcome::merge))
    }

    fn one_more_is_ready(&mut self) {
        self.ready += 1;
        if self.ready == self.generators.len() {
            self.generators.iter().for_each(|generator| generator.send(Order::Start));
        }
    }
}
