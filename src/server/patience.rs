//! How long a peer may be slow.

use std::time::Duration;

/// How long a peer may be slow, in each of the ways of being slow.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// From the first byte of a message to its last.
    pub message: Option<Duration>,
    /// For taking any byte of the replies that wait for it.
    pub write: Option<Duration>,
    /// For sending or taking anything at all.
    pub idle: Option<Duration>,
}
