//! The exit code of the client.

use std::process::ExitCode;

use crate::interrupts::INTERRUPTED;

/// The exit code if a `--fail-if` condition was met.
const CONDITION_MET: u8 = 3;

/// The exit code of results. An interrupt comes before a failure, and a failure before a condition
/// that was met.
pub(crate) fn code(is_interrupted: bool, has_failed: bool, is_condition_met: bool) -> ExitCode {
    match () {
        () if is_interrupted => ExitCode::from(INTERRUPTED),
        () if has_failed => ExitCode::FAILURE,
        () if is_condition_met => ExitCode::from(CONDITION_MET),
        () => ExitCode::SUCCESS,
    }
}
