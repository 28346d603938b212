//! Why something could not be measured.

use std::io;

pub(crate) type Result<T> = std::result::Result<T, Trouble>;

#[derive(Debug)]
pub(crate) enum Trouble {
    /// A server or a client failed: noted, and the comparison goes on.
    Failed(String),
    /// The comparison itself must end.
    Interrupted,
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Failed(error.to_string())
    }
}

/// A failure with this description.
pub(crate) fn failed<T>(why: impl Into<String>) -> Result<T> {
    Err(Trouble::Failed(why.into()))
}
