//! How many connections may be open, and who waits for one to close.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use crate::net::mailbox::Waker;

/// The seats of a server, one a connection.
///
/// Taken and left by different threads. They are atomics rather than mail because
/// a letter to the acceptor for every close would wake it for every close; it is
/// woken only when it has said that it waits.
#[derive(Debug)]
pub(crate) struct Seats {
    /// Changes once, when nobody is turned away any more.
    limit: AtomicUsize,
    taken: AtomicUsize,
    /// Whether the acceptor wants to be told when a seat is left.
    awaited: AtomicBool,
    acceptor: Arc<Waker>,
}

/// One connection's seat, left when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat(Arc<Seats>);

impl Seats {
    pub(crate) fn new(limit: usize, acceptor: Arc<Waker>) -> Arc<Seats> {
        let (limit, taken, awaited) = (AtomicUsize::new(limit), 0.into(), false.into());
        Arc::new(Seats { limit, taken, awaited, acceptor })
    }

    /// A seat, if one is free. Only the acceptor takes them.
    pub(crate) fn take(self: &Arc<Seats>) -> Option<Seat> {
        if !self.has_free() {
            return None;
        }
        self.taken.fetch_add(1, SeqCst);
        Some(Seat(Arc::clone(self)))
    }

    /// From now on there is a seat for everybody.
    pub(crate) fn add_for_all(&self) {
        self.limit.store(usize::MAX, SeqCst);
    }

    /// From now on the next seat that is left rings the acceptor's bell, once.
    pub(crate) fn tell_of_next_leave(&self) {
        self.awaited.store(true, SeqCst);
    }

    /// Whether a seat was left since the acceptor last asked to be told.
    pub(crate) fn was_told(&self) -> bool {
        !self.awaited.load(SeqCst)
    }

    /// Whether a seat is free.
    pub(crate) fn has_free(&self) -> bool {
        self.taken.load(SeqCst) < self.limit()
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit.load(SeqCst)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, SeqCst);
        if self.0.awaited.load(SeqCst) && self.0.awaited.swap(false, SeqCst) {
            self.0.acceptor.wake();
        }
    }
}
