//! Signals, as values that one thread waits for.

use std::fmt;
use std::io;

use crate::net::sys::{self, SignalSet};

/// What a signal asks a program to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `SIGTERM`, `SIGINT` or `SIGQUIT`: terminate.
    Terminate,
    /// `SIGHUP`: reopen the log file.
    Hangup,
    /// `SIGUSR1`: whatever the program has chosen.
    User1,
}

/// The signals above, which are blocked in all threads.
pub struct Signals(SignalSet);

const SIGNALS: [libc::c_int; 5] =
    [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGUSR1];

/// Has a write beyond the file size limit (`ulimit -f`) fail, as a write to a full disk does,
/// instead of ending the process. It changes the whole process, so programs call it and the
/// library does not.
pub fn survive_file_size_limit() {
    sys::ignore_signal(libc::SIGXFSZ);
}

impl Signals {
    /// Blocks the signals in this thread and in all threads that it starts from now on, so
    /// that only [`wait`](Self::wait) receives them. Call it before any thread is started.
    ///
    /// # Errors
    /// None that a program can handle.
    pub fn block() -> io::Result<Signals> {
        let set = SignalSet::new(&SIGNALS);
        sys::block_signals(&set)?;
        Ok(Signals(set))
    }

    /// Waits for the next signal.
    ///
    /// # Errors
    /// None that a program can handle.
    pub fn wait(&self) -> io::Result<Signal> {
        Ok(match sys::wait_for_signal(&self.0)? {
            libc::SIGHUP => Signal::Hangup,
            libc::SIGUSR1 => Signal::User1,
            _ => Signal::Terminate,
        })
    }
}

/// Returns whether SIGHUP was ignored when the program was started, as under nohup. Waiting
/// for a signal returns it even then.
pub fn is_hangup_ignored() -> bool {
    sys::is_ignored(libc::SIGHUP).unwrap_or(false)
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signals").field(&SIGNALS).finish()
    }
}
