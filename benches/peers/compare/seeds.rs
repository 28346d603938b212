//! The original's workload: thirty processes of its client at once.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::child::Process;
use crate::contender::Contender;
use crate::measurement::Measurement;
use crate::server::Server;
use crate::shape::Shape;
use crate::sys;
use crate::trouble::{Result, failed};

const PROCESSES: u64 = 30;
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures a server once, with `messages` of each process.
///
/// The time is from the start of the first process to the end of the last.
pub(crate) fn measure(
    contender: &Contender,
    shape: &Shape,
    folder: &Path,
    messages: u64,
) -> Result<Measurement> {
    let mut server = Server::start(contender, shape)?;
    let (before, began) = (sys::processor_time(server.id())?, Instant::now());
    let outcome = run(folder, server.port, messages);
    let seconds = began.elapsed().as_secs_f64();
    if let Some(death) = server.death() {
        return failed(death);
    }
    let echoes = outcome?;
    let used = sys::processor_time(server.id())?.saturating_sub(before);
    server.stop();
    Ok(Measurement {
        rate: Some(echoes / seconds),
        cpu: Some(used.as_secs_f64() * 1e6 / echoes),
        echoes: Some(echoes),
        seconds: Some(seconds),
        ..Measurement::default()
    })
}

/// Runs the processes, and returns the number of echoes.
pub(crate) fn run(folder: &Path, port: u16, messages: u64) -> Result<f64> {
    let mut seeds = Vec::new();
    for _ in 0..PROCESSES {
        let mut command = Command::new(folder.join("seed"));
        command.args(["127.0.0.1", &port.to_string(), &messages.to_string()]);
        seeds.push(Process::start(command.stderr(Stdio::null()), None)?);
    }
    for seed in &mut seeds {
        if !seed.wait(PATIENCE)?.success() {
            return failed("a seed client had an error or a wrong reply");
        }
    }
    Ok((PROCESSES * messages) as f64)
}
