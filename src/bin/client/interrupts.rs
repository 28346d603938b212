//! Signals, for a command that runs one load or several, one after another.

use std::io;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use reactor_server::load::Control;
use reactor_server::program::signals::{Signal, Signals, is_hangup_ignored};
use reactor_server::program::thread;

/// The exit code of a shell command that SIGINT has ended.
pub(crate) const INTERRUPTED: u8 = 130;

/// What signals ask for. All runs of a command share it.
///
/// The first signal to end stops the run and ends the command, whose results so far are still
/// printed. A second one ends the process, in case the results find no reader.
#[derive(Debug)]
pub(crate) struct Interrupts {
    signals: Receiver<Signal>,
    has_ended: bool,
}

impl Interrupts {
    /// Starts the thread that receives the signals. Under nohup, SIGHUP stays ignored.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn handle(signals: Signals) -> io::Result<Interrupts> {
        let ignores_hangup = is_hangup_ignored();
        let (sender, receiver) = mpsc::channel();
        let receive = move || {
            let mut is_ending = false;
            while let Ok(signal) = signals.wait() {
                match signal {
                    Signal::Hangup if ignores_hangup => continue,
                    Signal::Terminate | Signal::Hangup if is_ending => {
                        std::process::exit(INTERRUPTED.into());
                    }
                    Signal::Terminate | Signal::Hangup => is_ending = true,
                    Signal::User1 => {}
                }
                // Nobody receives it after the last run.
                let _ = sender.send(signal);
            }
        };
        thread::start("signals".to_owned(), 1, receive)?;
        Ok(Interrupts { signals: receiver, has_ended: false })
    }

    /// Does to a load what signals have asked for meanwhile.
    pub(crate) fn apply(&mut self, load: &Control) {
        while let Ok(signal) = self.signals.try_recv() {
            match signal {
                Signal::User1 => load.end_hold(),
                Signal::Terminate | Signal::Hangup => self.has_ended = true,
            }
        }
        if self.has_ended {
            load.stop();
        }
    }

    /// Returns whether a signal has ended the command: no other run begins.
    pub(crate) fn have_ended(&self) -> bool {
        self.has_ended
    }

    /// Waits between two runs for this long, or until a signal ends the command.
    pub(crate) fn rest(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now())
            && !self.has_ended
        {
            match self.signals.recv_timeout(left) {
                Ok(Signal::Terminate | Signal::Hangup) => self.has_ended = true,
                Ok(Signal::User1) => {}
                Err(_) => return,
            }
        }
    }
}
