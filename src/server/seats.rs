//! How many connections may be open, and the wake-up when one closes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use crate::net::mailbox::Waker;

/// The seats of a server, one for each connection that may be open.
///
/// The acceptor takes them, the reactors give them back. They are atomics and not mail,
/// because mail for every close would wake the acceptor for every close. It is woken only
/// when it asked for that.
#[derive(Debug)]
pub(crate) struct Seats {
    /// Changes once, when the server drains and turns no connection away.
    limit: AtomicUsize,
    taken: AtomicUsize,
    /// The acceptor asked to be woken when a seat is given back.
    awaited: AtomicBool,
    acceptor: Arc<Waker>,
}

/// The seat of one connection, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat(Arc<Seats>);

impl Seats {
    pub(crate) fn new(limit: usize, acceptor: Arc<Waker>) -> Arc<Seats> {
        let (limit, taken, awaited) = (AtomicUsize::new(limit), 0.into(), false.into());
        Arc::new(Seats { limit, taken, awaited, acceptor })
    }

    /// A seat, if one is free. Only the acceptor takes seats.
    pub(crate) fn take(self: &Arc<Seats>) -> Option<Seat> {
        if !self.has_free() {
            return None;
        }
        self.taken.fetch_add(1, SeqCst);
        Some(Seat(Arc::clone(self)))
    }

    /// From now on there is a seat for every connection.
    pub(crate) fn lift_limit(&self) {
        self.limit.store(usize::MAX, SeqCst);
    }

    /// Has the next seat that is given back wake the acceptor, once.
    pub(crate) fn await_free(&self) {
        self.awaited.store(true, SeqCst);
    }

    /// Returns whether a seat was given back since the acceptor last asked to be woken.
    pub(crate) fn has_woken(&self) -> bool {
        !self.awaited.load(SeqCst)
    }

    /// Returns whether a seat is free.
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
