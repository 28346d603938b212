//! What the threads of the program know of its server.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::SystemTime;

use reactor_server::Handle;

/// How far the server is: it starts, serves, and drains.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) started: SystemTime,
    serving: OnceLock<Serving>,
    is_draining: AtomicBool,
}

/// A server that listens.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) server: Handle,
    pub(crate) max_connections: usize,
    pub(crate) port: u16,
}

impl Status {
    pub(crate) fn new() -> Status {
        let (serving, is_draining) = Default::default();
        Status { started: SystemTime::now(), serving, is_draining }
    }

    /// The server listens, from now on.
    pub(crate) fn serve(&self, serving: Serving) {
        let _ = self.serving.set(serving);
    }

    /// The server, once it listens.
    pub(crate) fn serving(&self) -> Option<&Serving> {
        self.serving.get()
    }

    /// Waits until the server listens.
    pub(crate) fn wait(&self) -> &Serving {
        self.serving.wait()
    }

    /// The server is about to drain.
    pub(crate) fn begin_draining(&self) {
        self.is_draining.store(true, Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Relaxed)
    }

    /// Whether new connections are welcome.
    pub(crate) fn is_ready(&self) -> bool {
        self.serving().is_some() && !self.is_draining()
    }
}
