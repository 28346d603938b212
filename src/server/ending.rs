//! How a server ended.

use std::process::{ExitCode, Termination};

/// How a server ended.
///
/// A `main` may return it: the exit code is 0 if the server drained, and 1 if it was forced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// No connection was reset by the end: everything that had arrived was answered.
    Drained,
    /// Connections were reset: the server was told to stop at once, or the time to drain
    /// was over.
    Forced,
}

impl Termination for Ending {
    fn report(self) -> ExitCode {
        match self {
            Ending::Drained => ExitCode::SUCCESS,
            Ending::Forced => ExitCode::FAILURE,
        }
    }
}
