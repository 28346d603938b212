//! The signals that ask a program to end.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::net::sys::{self, SignalSet};

/// `SIGTERM`, `SIGINT` and `SIGQUIT`, as a source for epoll, so that a loop learns of them as
/// it learns of everything else.
///
/// They are blocked in the thread that makes this value and in all threads that it starts
/// from then on: make it before any other thread is started. A thread with the signals
/// unblocked would receive them instead, and they would end the process at once. A process has
/// one of these at a time, because a signal is taken once.
///
/// Dropped, it unblocks them again in the thread that drops it, and they do again what they
/// did before: also those that are pending, if none was taken.
pub struct TerminationSignals {
    /// Readable while one is pending.
    pending: File,
    /// Those that were not blocked before.
    unblocked: SignalSet,
    /// How many were taken.
    taken: usize,
}

/// There is one of them in this process.
static EXISTS: AtomicBool = AtomicBool::new(false);

const SIGNALS: [libc::c_int; 3] = [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT];

impl TerminationSignals {
    /// Blocks the signals.
    ///
    /// # Errors
    /// Descriptors or memory are short, a sandbox does not allow it, or there is one already
    /// ([`ResourceBusy`](io::ErrorKind::ResourceBusy)).
    pub fn block() -> io::Result<TerminationSignals> {
        let signals = SignalSet::new(&SIGNALS);
        let pending = sys::signalfd(&signals)?;
        if EXISTS.swap(true, SeqCst) {
            let problem = "the signals end another server of this process";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, problem));
        }
        let before = sys::block_signals(&signals);
        let before = before.inspect_err(|_| EXISTS.store(false, SeqCst))?;
        let unblocked: Vec<_> = SIGNALS.into_iter().filter(|&it| !before.contains(it)).collect();
        let unblocked = SignalSet::new(&unblocked);
        Ok(TerminationSignals { pending, unblocked, taken: 0 })
    }

    /// Takes one that is pending. Returns how many were taken with it, or `None` if none is
    /// pending. It never waits.
    pub fn take(&mut self) -> Option<usize> {
        let mut signal = [0; size_of::<libc::signalfd_siginfo>()];
        self.pending.read(&mut signal).ok().filter(|&count| count > 0)?;
        self.taken += 1;
        Some(self.taken)
    }
}

impl Drop for TerminationSignals {
    fn drop(&mut self) {
        // Another one that arrived while the program was about to end must not kill it.
        while self.taken > 0 && self.take().is_some() {}
        // It cannot fail with a set that was blocked.
        let _ = sys::unblock_signals(&self.unblocked);
        EXISTS.store(false, SeqCst);
    }
}

impl AsFd for TerminationSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pending.as_fd()
    }
}

impl fmt::Debug for TerminationSignals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TerminationSignals").field("pending", &self.pending).finish_non_exhaustive()
    }
}
