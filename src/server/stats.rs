//! What is counted.

use std::io;
use std::time::{Duration, Instant};

use crate::net::counter::Counter;
use crate::server::turn_times::{SampledTurns, TurnTimes};
use crate::wire::reason::Reason;

/// What the acceptor counts.
#[derive(Debug, Default)]
pub struct AcceptorStats {
    /// Connections accepted.
    pub accepted: Counter,
    /// Attempts that failed and were repeated at once.
    pub retries: Counter,
    /// How often accepting was paused because descriptors or memory were short.
    pub exhausted: Counter,
    /// How often accepting was paused because `max_connections` were open.
    pub full: Counter,
    /// Connections that had to wait to be accepted, because of one of these pauses.
    pub waited: Counter,
    /// When the first connection was accepted, in nanoseconds since the server was made.
    pub(crate) first_opened: Counter,
}

/// What one reactor counts. It has cache lines of its own, because different threads write
/// to its neighbours.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ReactorStats {
    /// Connections taken over from the acceptor.
    pub opened: Counter,
    /// Connections closed, by [`Reason`].
    pub(crate) closed: [Counter; Reason::ALL.len()],
    /// Connections reset on purpose.
    pub resets: Counter,
    /// Messages handled.
    pub messages: Counter,
    /// Bytes read, without the discarded ones.
    pub received: Counter,
    /// Bytes that arrived after the last one that is answered.
    pub discarded: Counter,
    /// Bytes that the kernel took to send.
    pub sent: Counter,
    /// Events and replies for a connection that was closed already.
    pub stale: Counter,
    /// Panics of the handler.
    pub panics: Counter,
    /// Connections lost because epoll did not watch them.
    pub unwatched: Counter,
    /// How often a connection had to wait for a free job.
    pub waits: Counter,
    /// Reads that were reduced because the connections held too much.
    pub reduced_reads: Counter,
    /// Messages pushed to connections that had room for them.
    pub pushed: Counter,
    /// Messages not pushed to connections that had no room for them.
    pub pushes_dropped: Counter,
    /// Messages not pushed, and closes not done, because the connection was closed or about
    /// to close.
    pub pushes_late: Counter,
    /// When the last connection was closed, in nanoseconds since the server was made.
    pub(crate) last_closed: Counter,
    /// How long one turn in some took.
    pub(crate) turns: TurnTimes,
}

/// What a whole server counts, from its start.
///
/// The threads count on while the figures are read, so those of one moment need not fit each
/// other: a connection may be closed and not yet counted as such.
#[derive(Debug)]
pub struct Stats {
    started: Instant,
    /// The acceptor's own.
    pub acceptor: AcceptorStats,
    /// The counters of each reactor.
    pub reactors: Box<[ReactorStats]>,
    /// Of connections that ended before their PROXY header was read, which no reactor has seen.
    pub(crate) lobby: ReactorStats,
}

impl ReactorStats {
    /// Counts a connection that was closed `now`.
    pub(crate) fn count_close(&self, now: u64, reason: Reason) {
        self.closed[reason as usize].add(1);
        self.resets.add(u64::from(reason.resets()));
        self.last_closed.set(now);
    }

    /// Counts and logs a connection that epoll does not watch: it is lost, and no other.
    pub(crate) fn count_unwatched(&self, error: &io::Error) {
        self.unwatched.add(1);
        log::warn!("epoll does not watch a connection, which is lost: {error}");
    }
}

impl Stats {
    pub(crate) fn new(reactors: usize) -> Stats {
        Stats {
            started: Instant::now(),
            acceptor: AcceptorStats::default(),
            reactors: (0..reactors).map(|_| ReactorStats::default()).collect(),
            lobby: ReactorStats::default(),
        }
    }

    /// Counts a connection that was accepted `now`.
    pub(crate) fn count_accept(&self, now: u64) {
        if self.acceptor.accepted.get() == 0 {
            self.acceptor.first_opened.set(now);
        }
        self.acceptor.accepted.add(1);
    }

    /// The counters of all threads that own connections.
    fn owners(&self) -> impl Iterator<Item = &ReactorStats> {
        self.reactors.iter().chain([&self.lobby])
    }

    /// The time from the first connection to the end of the last one, or until now while
    /// some are open.
    pub fn busy(&self) -> Duration {
        let closed = self.closed();
        let last = match self.acceptor.accepted.get().saturating_sub(closed) {
            0 => self.owners().map(|owner| owner.last_closed.get()).max(),
            _ => Some(self.nanoseconds()),
        };
        let first = self.acceptor.first_opened.get();
        Duration::from_nanos(last.unwrap_or(first).saturating_sub(first))
    }

    /// The nanoseconds since the server was made.
    pub(crate) fn nanoseconds(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// How many connections of that reactor are open.
    ///
    /// # Panics
    /// There is no reactor of that number.
    pub fn open(&self, reactor: usize) -> u64 {
        let ReactorStats { opened, closed, .. } = &self.reactors[reactor];
        // The closed ones first, or one could be counted that was not when it was opened.
        let closed: u64 = closed.iter().map(Counter::get).sum();
        opened.get().saturating_sub(closed)
    }

    /// The sum over all reactors of what `counter` picks. (Connections that ended before their PROXY
    /// header was read count too.)
    pub fn sum(&self, counter: impl Fn(&ReactorStats) -> &Counter) -> u64 {
        self.owners().map(|owner| counter(owner).get()).sum()
    }

    /// How long the turns of the reactors took, from their events to the next wait: of those that
    /// were timed.
    pub fn turns(&self) -> SampledTurns {
        let mut all = SampledTurns::default();
        self.reactors.iter().for_each(|reactor| reactor.turns.add_to(&mut all));
        all
    }

    /// How many connections were closed, for whatever reason.
    pub fn closed(&self) -> u64 {
        Reason::ALL.iter().map(|&reason| self.closed_for(reason)).sum()
    }

    /// How many connections were closed for this reason.
    pub fn closed_for(&self, reason: Reason) -> u64 {
        self.sum(|reactor| &reactor.closed[reason as usize])
    }
}
