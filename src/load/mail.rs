//! What the threads of a load tell each other.

use std::io;

use crate::load::outcome::Outcome;
use crate::load::schedule::Start;
use crate::load::stage::Stage;
use crate::load::step::StepRecord;

/// All that a generator can be told.
#[derive(Debug)]
pub(crate) enum Order {
    /// All generators have opened their connections: send messages.
    Start(Start),
    /// The hold is over: one last echo on each connection.
    LastEcho,
    /// Abandon all connections and report.
    Stop,
}

/// All that the load can be told.
#[derive(Debug)]
pub(crate) enum News {
    /// A generator has entered a stage, with this many connections.
    Entered { number: usize, stage: Stage, lanes: u64 },
    /// A generator has ended, in the middle of a step.
    Done { number: usize, result: Box<io::Result<(Outcome, StepRecord)>> },
    /// End the hold now.
    EndHold,
}
