//! Threads that are started by name.

use std::fmt;
use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread, one of `wanted` that are started together.
///
/// # Errors
/// It cannot be started. The error then holds a [`NotStarted`].
pub fn start<T: Send + 'static>(
    name: String,
    wanted: usize,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let builder = Builder::new().name(name.clone());
    builder.spawn(body).map_err(|error| {
        io::Error::new(error.kind(), NotStarted { name, wanted, error: error.to_string() })
    })
}

/// The error of a thread that could not be started.
#[derive(Debug)]
pub struct NotStarted {
    name: String,
    wanted: usize,
    error: String,
}

impl NotStarted {
    /// How many threads were to be started, this one included.
    pub(crate) fn wanted(&self) -> usize {
        self.wanted
    }

    /// Returns this error, if it is what an [`io::Error`] holds.
    pub fn of(error: &io::Error) -> Option<&NotStarted> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for NotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NotStarted { name, wanted, error } = self;
        match wanted {
            1 => write!(f, "cannot start thread {name}: {error}"),
            _ => write!(f, "cannot start thread {name} of {wanted} threads: {error}"),
        }
    }
}

impl std::error::Error for NotStarted {}
