//! A child process that never outlives its owner.

use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::sys;
use crate::trouble::{Result, Trouble};

/// The time between two looks at a condition: long enough not to disturb what is measured.
const TICK: Duration = Duration::from_millis(10);

/// Is killed and reaped when it is dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts it, pinned to a core if one is given.
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

    /// Its exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }

    /// Waits until it ends, at most `patience`.
    pub(crate) fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        until(patience, "it did not end", || self.ended().map_err(Trouble::from))
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

/// Waits until `look` returns something, at most `patience`; `problem` describes the failure.
pub(crate) fn until<T>(
    patience: Duration,
    problem: &str,
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
            return Err(Trouble::Failed(format!("{problem} within {patience:?}")));
        }
        thread::sleep(TICK);
    }
}
