//! The process groups of the servers that run, so that none is left behind.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::harness::cgroup;

/// The exit code that a shell reports for an interrupted program.
const INTERRUPTED: i32 = 130;

/// Those that were started and not yet waited for.
#[derive(Clone, Default)]
pub(crate) struct Groups(Arc<Mutex<Vec<Pid>>>);

impl Groups {
    /// Starts a program in a group of its own.
    pub(crate) fn start(&self, command: &mut Command) -> io::Result<Child> {
        // Locked meanwhile, so that `end_all` does not miss this one.
        let mut groups = self.lock();
        let child = command.process_group(0).spawn()?;
        groups.push(Pid::from_child(&child));
        Ok(child)
    }

    /// Ends a program and its group, and forgets it: once it was waited for, its number
    /// may be another's.
    pub(crate) fn end(&self, child: &mut Child) {
        let group = Pid::from_child(child);
        let mut groups = self.lock();
        // It may have ended already.
        let _ = kill_process_group(group, Signal::KILL);
        let _ = child.wait();
        groups.retain(|&other| other != group);
    }

    /// Ends those that are left.
    pub(crate) fn end_all(&self) {
        kill(&self.lock());
    }

    /// Ends them first when a signal ends the harness. The servers do not inherit a handler,
    /// as they would inherit a blocked signal.
    pub(crate) fn end_all_on_signal(&self) -> Result<(), ctrlc::Error> {
        let groups = self.clone();
        ctrlc::set_handler(move || {
            // Held to the end, so that none is started any more.
            let left = groups.lock();
            kill(&left);
            cgroup::remove_left();
            std::process::exit(INTERRUPTED);
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Pid>> {
        self.0.lock().expect("no panic")
    }
}

fn kill(groups: &[Pid]) {
    for &group in groups {
        // It may have ended already.
        let _ = kill_process_group(group, Signal::KILL);
    }
}
