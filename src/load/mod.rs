//! The load client: connections that send messages and verify every byte of the replies.
//!
//! A [`Plan`] describes the load, a [`Load`] runs it on one or more threads, and an
//! [`Outcome`] holds the results. It is built from the parts of the server: `Poll`, `Slab`,
//! `Connection`, `Codec`, mailboxes.
//!
//! | floor | files | what they are |
//! |---|---|---|
//! | 9 | `mod` | the load: starts generators, and merges their stages and results |
//! | 8 | `generator` | one thread: the stages of a run |
//! | 7 | `lanes`, `collector` | the connections of a thread: opened, watched, timed out, closed; adds up the steps of all threads |
//! | 6 | `exchange`, `mail`, `recorder` | send, receive, verify, send on; what threads tell each other; the steps of a thread |
//! | 5 | `opener`, `outcome`, `deadlines` | opens connections; results; until when connections wait |
//! | 4 | `lane`, `lost` | one connection; the sequences that have none |
//! | 3 | `sequence` | the messages of one connection |
//! | 2 | `payload`, `socket_options`, `outage` | the bytes of messages; the options of sockets; the time without a connection |
//! | 1 | `plan`, `error_texts` | what the load is; why connections failed |
//! | 0 | `arrival`, `body`, `demand`, `failure`, `progress`, `random`, `schedule`, `sources`, `stage`, `step`, `think` | what the others are made of |

mod arrival;
mod body;
mod collector;
mod deadlines;
mod demand;
mod error_texts;
mod exchange;
mod failure;
mod generator;
mod lane;
mod lanes;
mod lost;
mod mail;
mod opener;
mod outage;
mod outcome;
mod payload;
mod plan;
mod progress;
mod random;
mod recorder;
mod schedule;
mod sequence;
mod socket_options;
mod sources;
mod stage;
mod step;
mod think;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use crate::net::mailbox::{EventLoop, Mailbox};
use crate::program::thread;
use collector::{Collector, STEPS_WAITING};
use generator::Generator;
use mail::{News, Order};
use payload::Payload;
use progress::ProgressCounters;
use recorder::Recorder;
use schedule::Start;
use step::StepClock;

pub use arrival::Arrival;
pub use body::Body;
pub use error_texts::ErrorTexts;
pub use opener::MAX_CONNECTING;
pub use outage::Outages;
pub use outcome::{Connections, Outcome};
pub use plan::{Close, OnError, Plan, Verify};
pub use progress::Progress;
pub use socket_options::option_warnings;
pub use sources::{Sources, port_range};
pub use stage::Stage;
pub use step::{STEP, StepRecord};
pub use think::{Spread, Think};

/// A load that is running.
#[derive(Debug)]
pub struct Load {
    generators: Vec<Mailbox<Order>>,
    progress: Arc<[ProgressCounters]>,
    news: Receiver<News>,
    news_sender: Sender<News>,
    /// The stage of each generator.
    stages: Vec<Stage>,
    /// The stage that all generators have reached.
    stage: Stage,
    /// How many connections each generator has opened.
    lanes: Vec<u64>,
    /// How many it was to open.
    shares: Vec<u64>,
    hold: Duration,
    /// When the hold ends, while connections are held.
    held_until: Option<Instant>,
    collector: Collector,
    outcomes: Vec<Outcome>,
}

/// Controls a load, from any thread.
#[derive(Debug, Clone)]
pub struct Control {
    generators: Vec<Mailbox<Order>>,
    news_sender: Sender<News>,
}

impl Control {
    /// Stops the load: it abandons all connections and ends with the results so far.
    pub fn stop(&self) {
        self.generators.iter().for_each(|generator| generator.send(Order::Stop));
    }

    /// Ends the hold, if connections are held.
    pub fn end_hold(&self) {
        // Nobody receives it if the load is over.
        let _ = self.news_sender.send(News::EndHold);
    }
}

impl Load {
    /// Starts to open connections.
    ///
    /// # Errors
    /// A thread cannot be started (see [`thread::NotStarted`]), and no connection was opened; or
    /// there are too few descriptors.
    pub fn start(plan: &Plan) -> io::Result<Load> {
        let (news_sender, news) = crossbeam_channel::unbounded();
        let event_loops: Vec<_> =
            (0..plan.threads).map(|_| EventLoop::new()).collect::<io::Result<_>>()?;
        let clock = StepClock::start();
        let (recorders, records): (Vec<_>, _) = (0..plan.threads)
            .map(|_| crossbeam_channel::bounded(STEPS_WAITING))
            .map(|(records, receiver)| (Recorder::new(clock, records), receiver))
            .unzip();
        let load = Load {
            generators: event_loops.iter().map(|(_, mailbox)| mailbox.clone()).collect(),
            progress: event_loops.iter().map(|_| ProgressCounters::default()).collect(),
            news,
            news_sender,
            stages: vec![Stage::Opening; plan.threads],
            stage: Stage::Opening,
            lanes: vec![0; plan.threads],
            shares: (0..plan.threads).map(|it| plan.share(it).connections as u64).collect(),
            hold: plan.hold.unwrap_or_default(),
            held_until: None,
            collector: Collector::new(clock, records),
            outcomes: Vec::new(),
        };
        let payload = Arc::new(Payload::new(plan));
        let (go, gate) = crossbeam_channel::bounded(plan.threads);
        let parts = event_loops.into_iter().zip(recorders).enumerate();
        for (number, ((event_loop, _), recorder)) in parts {
            load.spawn(number, event_loop, recorder, plan, Arc::clone(&payload), gate.clone())?;
        }
        (0..plan.threads).try_for_each(|_| go.send(())).map_err(io::Error::other)?;
        Ok(load)
    }

    /// Starts a thread, which begins once it passes the gate. It ends if the gate stays shut,
    /// because another thread could not be started.
    fn spawn(
        &self,
        number: usize,
        event_loop: EventLoop<Order>,
        recorder: Recorder,
        plan: &Plan,
        payload: Arc<Payload>,
        gate: Receiver<()>,
    ) -> io::Result<()> {
        let (progress, news) = (Arc::clone(&self.progress), self.news_sender.clone());
        let (threads, plan) = (plan.threads, plan.share(number));
        let run = move || {
            if gate.recv().is_err() {
                return;
            }
            let (progress, to_load) = (&progress[number], news.clone());
            let generator =
                Generator::new(event_loop, plan, payload, number, progress, recorder, to_load);
            let result = catch_unwind(AssertUnwindSafe(|| generator.run()))
                .unwrap_or_else(|_| Err(io::Error::other("a load thread has panicked")));
            let _ = news.send(News::Done { number, result: Box::new(result) });
        };
        thread::start(format!("load-{number}"), threads, run).map(drop)
    }

    /// Returns a handle that controls this load.
    pub fn control(&self) -> Control {
        Control { generators: self.generators.clone(), news_sender: self.news_sender.clone() }
    }

    /// What the load has done so far.
    pub fn progress(&self) -> Progress {
        self.progress.iter().map(ProgressCounters::get).sum()
    }

    /// Starts to send messages. Call it once, at [`Stage::Opened`] or later.
    pub fn start_sending(&self) {
        // If none is open, the messages of a rate are due all the same, and nobody sends them.
        let is_any_open = self.lanes.iter().any(|&lanes| lanes > 0);
        let all = if is_any_open { &self.lanes } else { &self.shares };
        let (at, lanes, mut first) = (Instant::now(), all.iter().sum(), 0);
        for (generator, &own) in self.generators.iter().zip(all) {
            generator.send(Order::Start(Start { at, lanes, first, own }));
            first += own;
        }
    }

    /// Waits until all generators have reached the next stage, or until the timeout passes,
    /// which is `None`. A load that is stopped, or has no connections left, skips stages.
    ///
    /// # Errors
    /// A generator has failed: a bug of this crate.
    pub fn wait_for_stage(&mut self, timeout: Duration) -> io::Result<Option<Stage>> {
        let until = Instant::now() + timeout;
        while let Some(news) = self.receive(until) {
            match news {
                News::Entered { number, stage, lanes } => {
                    (self.stages[number], self.lanes[number]) = (stage, lanes);
                }
                News::Done { number, result } => {
                    let (outcome, rest) = (*result)?;
                    self.outcomes.push(outcome);
                    self.collector.end(number, rest);
                    self.stages[number] = Stage::Over;
                }
                News::EndHold => self.held_until = self.held_until.map(|_| Instant::now()),
            }
            let all = self.stages.iter().copied().min().unwrap_or(Stage::Over);
            if all > self.stage {
                self.stage = all;
                self.held_until = (all == Stage::Holding).then(|| Instant::now() + self.hold);
                return Ok(Some(all));
            }
        }
        Ok(None)
    }

    /// Takes the next step of time, once it has ended on all threads. There is one for each
    /// [`STEP`], from the start of the load to its end.
    ///
    /// Up to a second of steps waits to be taken. While no more fit, what happens belongs to the
    /// first that did not fit.
    pub fn next_step(&mut self) -> Option<StepRecord> {
        self.collector.next()
    }

    /// Takes the results. Call it at [`Stage::Over`]; before, they are those of the
    /// generators that have ended, or `None`. No step can be taken after that.
    pub fn take_outcome(&mut self) -> Option<Outcome> {
        let mut outcome = std::mem::take(&mut self.outcomes).into_iter().reduce(Outcome::merge)?;
        outcome.latency = self.collector.take_latency();
        Some(outcome)
    }

    /// Receives the next news that arrives before `until`, and ends the hold if that is due
    /// meanwhile.
    fn receive(&mut self, until: Instant) -> Option<News> {
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
}
