//! A process that was started here, and that ends here whatever happens.

use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::sys;
use crate::trouble::{Result, Trouble};

/// How often it is looked whether something has come true: rarely enough not to be noticed
/// in what is measured.
const TICK: Duration = Duration::from_millis(10);

/// Is killed and waited for when it is dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts it, on one core if one is given.
    pub(crate) fn start(command: &mut Command, core: Option<usize>) -> Result<Process> {
        sys::tie(command, core);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn();
        let program = command.get_program().to_string_lossy().into_owned();
        child.map(Process).map_err(|error| Trouble::Failed(format!("{program}: {error}")))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it has ended, if it has.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }

    /// Waits for its end, as long as that.
    pub(crate) fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        until(patience, "no end", || self.ended().map_err(Trouble::from))
    }

    /// Asks it to end.
    pub(crate) fn interrupt(&self) {
        sys::interrupt(self.id());
    }

    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Waits until there is something, as long as that.
pub(crate) fn until<T>(
    patience: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if sys::is_interrupted() {
            return Err(Trouble::Interrupted);
        }
        if began.elapsed() > patience {
            return Err(Trouble::Failed(format!("{what} within {patience:?}")));
        }
        thread::sleep(TICK);
    }
}
