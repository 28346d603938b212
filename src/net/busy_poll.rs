//! Staying awake for a moment before going to sleep, where that has lately paid.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crate::net::bet::{Bet, Outcome};
use crate::net::clock::now;
use crate::net::mailbox::EventLoop;
use crate::net::poll::Events;

/// How one thread waits.
///
/// Going to sleep and being woken costs the sleeper and whoever wakes it some
/// microseconds each, and the CPU that fell idle meanwhile needs ten or twenty more. So
/// a thread that is mostly wanted again at once looks a few times before it sleeps,
/// and lets others have the CPU in between.
#[derive(Debug)]
pub(crate) struct Spin {
    bet: Bet,
    /// How long it looks, whoever needs the CPU; once at least.
    moment: Duration,
    /// How long it looks where a CPU is free for that.
    patience: Duration,
    free: Arc<FreeCpus>,
}

/// The CPUs that nobody keeps busy by looking for longer than a moment.
///
/// Taken and left by different threads before and after they sleep: nobody could be
/// asked for them by mail.
#[derive(Debug)]
pub(crate) struct FreeCpus(AtomicUsize);

impl FreeCpus {
    /// As many as there are, but for one that whoever talks to us needs. If there is
    /// but one, who talks to us has one of its own or gets it between two looks.
    pub(crate) fn of(cpus: usize) -> Arc<FreeCpus> {
        Arc::new(FreeCpus(AtomicUsize::new(cpus.saturating_sub(1).max(1))))
    }

    fn take(&self) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |free| free.checked_sub(1)).is_ok()
    }

    fn leave(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

impl Spin {
    /// One that looks for a `moment`, or for all of `busy_poll` while a CPU is `free`.
    pub(crate) fn new(moment: Duration, busy_poll: Option<Duration>, free: Arc<FreeCpus>) -> Spin {
        let patience = busy_poll.unwrap_or_default().max(moment);
        Spin { bet: Bet::new(), moment, patience, free }
    }

    /// Waits as [`EventLoop::wait`] does.
    pub(crate) fn wait<T>(
        &mut self,
        event_loop: &EventLoop<T>,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) || !self.bet.is_on() {
            return event_loop.wait(events, timeout);
        }
        if event_loop.look(events)? {
            return Ok(());
        }
        let start = now();
        let outcome = self.keep_looking(timeout.unwrap_or(Duration::MAX), event_loop, events)?;
        self.bet.settle(outcome);
        match timeout {
            _ if outcome == Outcome::Won => Ok(()),
            None => event_loop.wait(events, None),
            Some(timeout) => event_loop.wait(events, Some(timeout.saturating_sub(now() - start))),
        }
    }

    /// Looks for as long as it may.
    fn keep_looking<T>(
        &self,
        most: Duration,
        event_loop: &EventLoop<T>,
        events: &mut Events,
    ) -> io::Result<Outcome> {
        if self.patience == self.moment || !self.free.take() {
            return look_for(most.min(self.moment), event_loop, events);
        }
        let outcome = look_for(most.min(self.patience), event_loop, events);
        self.free.leave();
        outcome
    }
}

/// Looks until there is something, the time is over, or others need the CPU.
fn look_for<T>(
    time: Duration,
    event_loop: &EventLoop<T>,
    events: &mut Events,
) -> io::Result<Outcome> {
    let start = now();
    loop {
        if !step_aside() {
            return Ok(Outcome::Late);
        }
        if event_loop.look(events)? {
            return Ok(Outcome::Won);
        }
        if now() - start >= time {
            return Ok(Outcome::Lost);
        }
    }
}

/// Longer than a handful of clients need to send a message each, shorter than any
/// scheduler's slice.
const SOON: Duration = Duration::from_micros(250);

/// Lets whoever else is ready to run have the CPU, and says whether it came back soon.
///
/// Those who answer us need it for microseconds. Whoever has more to do keeps it for
/// milliseconds, while sleepers get it back at once.
fn step_aside() -> bool {
    let before = now();
    thread::yield_now();
    now() - before < SOON
}
