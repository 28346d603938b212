//! Busy-polling for a moment before blocking, where that has lately paid.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crate::net::bet::{Bet, Payoff};
use crate::net::clock::now;
use crate::net::mailbox::EventLoop;
use crate::net::poll::Events;

/// How one thread waits.
///
/// To block and be woken costs the thread, and the thread that wakes it, some microseconds
/// each, and a CPU that fell idle needs ten or twenty more. So a thread that is mostly
/// wanted again at once may poll before it blocks, and yields the CPU in between.
#[derive(Debug)]
pub(crate) struct BusyPoll {
    bet: Bet,
    /// How long it polls at most, whether a CPU is free or not.
    moment: Duration,
    /// How long it polls at most while a CPU is free for that. If that is 0 it never polls.
    longest: Duration,
    free: Arc<FreeCpus>,
}

/// The CPUs on which no thread busy-polls for longer than a moment.
///
/// Different threads take and leave them before and after they block, and none of them
/// could be asked by mail.
#[derive(Debug)]
pub(crate) struct FreeCpus(AtomicUsize);

impl FreeCpus {
    /// All CPUs but one, which the clients need. If there is only one, a client has a CPU
    /// of its own or gets this one between two polls.
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

impl BusyPoll {
    /// Polls for a `moment`, or for all of `longest` while a CPU is `free`.
    pub(crate) fn new(
        moment: Duration,
        longest: Option<Duration>,
        free: Arc<FreeCpus>,
    ) -> BusyPoll {
        let longest = longest.unwrap_or_default().max(moment);
        BusyPoll { bet: Bet::new(), moment, longest, free }
    }

    /// Waits as [`EventLoop::wait`] does.
    pub(crate) fn wait<T>(
        &mut self,
        event_loop: &EventLoop<T>,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let may_poll = !self.longest.is_zero() && timeout != Some(Duration::ZERO);
        if !may_poll || !self.bet.place() {
            return event_loop.wait(events, timeout);
        }
        if event_loop.look(events)? {
            return Ok(());
        }
        let start = now();
        let payoff = self.poll(timeout.unwrap_or(Duration::MAX), event_loop, events)?;
        self.bet.settle(payoff);
        match timeout {
            _ if payoff == Payoff::Won => Ok(()),
            None => event_loop.wait(events, None),
            Some(timeout) => event_loop.wait(events, Some(timeout.saturating_sub(now() - start))),
        }
    }

    /// Polls for as long as it may.
    fn poll<T>(
        &self,
        most: Duration,
        event_loop: &EventLoop<T>,
        events: &mut Events,
    ) -> io::Result<Payoff> {
        if self.longest == self.moment || !self.free.take() {
            return poll_for(most.min(self.moment), event_loop, events);
        }
        let payoff = poll_for(most.min(self.longest), event_loop, events);
        self.free.leave();
        payoff
    }
}

/// Polls until something is ready, the time is over, or another thread needs the CPU.
fn poll_for<T>(
    time: Duration,
    event_loop: &EventLoop<T>,
    events: &mut Events,
) -> io::Result<Payoff> {
    let start = now();
    loop {
        if !yield_cpu() {
            return Ok(Payoff::Late);
        }
        if event_loop.look(events)? {
            return Ok(Payoff::Won);
        }
        if now() - start >= time {
            return Ok(Payoff::Lost);
        }
    }
}

/// Longer than a handful of clients need to send one message each, shorter than a slice of
/// any scheduler.
const SOON: Duration = Duration::from_micros(250);

/// Lets other threads that are ready have the CPU. Returns whether it came back soon.
///
/// A client that answers needs it for microseconds. A thread with more to do keeps it for
/// milliseconds, while a thread that blocks gets it back as soon as it is woken.
fn yield_cpu() -> bool {
    let before = now();
    thread::yield_now();
    now() - before < SOON
}
