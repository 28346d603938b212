//! The threads of a server, besides the acceptor.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};

use crate::net::mailbox::Mailbox;
use crate::program::thread;
use crate::server::notice::Notice;

/// The threads of a server. Each notifies the acceptor when it ends. They are joined when
/// this is dropped, so they must have been told to end by then.
#[derive(Debug)]
pub(crate) struct Threads {
    acceptor: Mailbox<Notice>,
    /// Stands in front of their names.
    prefix: String,
    /// How many there will be.
    wanted: usize,
    handles: Vec<JoinHandle<()>>,
}

/// Reports that the calling thread has all that it needs, and serves from now on.
pub(crate) fn report_running(running: Sender<()>) {
    // Nobody waits for it if another thread could not be started.
    let _ = running.send(());
}

impl Threads {
    pub(crate) fn new(acceptor: Mailbox<Notice>, prefix: String, wanted: usize) -> Threads {
        Threads { acceptor, prefix, wanted, handles: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.handles.len()
    }

    pub(crate) fn spawn(
        &mut self,
        name: &str,
        body: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let name = format!("{}{name}", self.prefix);
        let (acceptor, own_name) = (self.acceptor.clone(), name.clone());
        let run = move || {
            let result = catch_unwind(AssertUnwindSafe(body))
                .unwrap_or_else(|_| Err(io::Error::other("it panicked")))
                .map_err(|e| io::Error::new(e.kind(), format!("thread {own_name} failed: {e}")));
            acceptor.send(Notice::Ended(result));
        };
        self.handles.push(thread::start(name, self.wanted, run)?);
        Ok(())
    }

    /// Waits until each of them has [reported](report_running) that it runs.
    ///
    /// # Errors
    /// One of them ended before it did.
    pub(crate) fn wait_until_running(&self, running: &Receiver<()>) -> io::Result<()> {
        for _ in &self.handles {
            running.recv().map_err(|_| io::Error::other("a thread ended as it started"))?;
        }
        Ok(())
    }

    /// Lets them run on: one may be stuck in a handler.
    pub(crate) fn detach(&mut self) {
        self.handles.clear();
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        for handle in self.handles.drain(..) {
            // It cannot have panicked: a panic of its body is caught.
            let _ = handle.join();
        }
    }
}
