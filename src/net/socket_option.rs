//! Options of sockets that a program can do without.

use std::io;

/// The attempt to set an option. Kernels and sandboxes refuse an option that they do not know
/// with various errors. The socket works without it, so none of them ends a program.
#[derive(Debug)]
pub(crate) struct SocketOption {
    name: &'static str,
    /// What follows if it is not set.
    cost: &'static str,
    result: io::Result<()>,
}

impl SocketOption {
    pub(crate) fn new(
        name: &'static str,
        result: io::Result<()>,
        cost: &'static str,
    ) -> SocketOption {
        SocketOption { name, cost, result }
    }

    /// A warning that names the option and what follows, if the kernel refused it.
    pub(crate) fn warning(&self) -> Option<String> {
        let SocketOption { name, cost, result } = self;
        let error = result.as_ref().err()?;
        Some(format!("cannot set {name}, so {cost}: {error}"))
    }
}
