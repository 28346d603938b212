//! The original's workload: thirty processes of its client at once.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::child::Process;
use crate::contender::Contender;
use crate::measurement::Measurement;
use crate::server::Server;
use crate::shape::Shape;
use crate::sys;
use crate::target;
use crate::trouble::{Result, failed};

const PROCESSES: usize = 30;
const PATIENCE: Duration = Duration::from_secs(60);

/// How long each message of each process took, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Times(Vec<Vec<u32>>);

impl Times {
    pub(crate) fn echoes(&self) -> f64 {
        self.0.iter().map(Vec::len).sum::<usize>() as f64
    }

    /// The rate of the slowest process over that of the fastest.
    fn fairness(&self) -> Option<f64> {
        let rate = |times: &Vec<u32>| {
            times.len() as f64 / times.iter().map(|&time| f64::from(time)).sum::<f64>()
        };
        let mut rates: Vec<f64> = self.0.iter().map(rate).collect();
        rates.sort_by(f64::total_cmp);
        Some(rates.first()? / rates.last()?)
    }

    /// Percentiles of all messages, in microseconds.
    fn percentiles<const N: usize>(&self, percents: [f64; N]) -> [Option<f64>; N] {
        let mut all = self.0.concat();
        all.sort_unstable();
        percents.map(|percent| {
            let rank = (percent / 100.0 * all.len() as f64).ceil() as usize;
            all.get(rank.saturating_sub(1)).map(|&time| f64::from(time) / 1000.0)
        })
    }
}

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
    let used = sys::processor_time(server.id())?.saturating_sub(before);
    server.stop();
    let times = outcome?;
    let echoes = times.echoes();
    let [p50, p99, p999] = times.percentiles([50.0, 99.0, 99.9]);
    Ok(Measurement {
        rate: Some(echoes / seconds),
        cpu: Some(used.as_secs_f64() * 1e6 / echoes),
        fairness: times.fairness(),
        echoes: Some(echoes),
        seconds: Some(seconds),
        p50,
        p99,
        p999,
        ..Measurement::default()
    })
}

/// Runs the processes to their end.
pub(crate) fn run(folder: &Path, port: u16, messages: u64) -> Result<Times> {
    let file = |number| target::output(&format!("seed-{number}.times"));
    let mut seeds = Vec::new();
    for number in 0..PROCESSES {
        let mut command = Command::new(folder.join("seed"));
        command.args(["127.0.0.1", &port.to_string(), &messages.to_string(), &file(number)]);
        seeds.push(Process::start(command.stderr(Stdio::null()), None)?);
    }
    for seed in &mut seeds {
        if !seed.wait(PATIENCE)?.success() {
            return failed("a seed client had an error or a wrong reply");
        }
    }
    let mut all = Vec::new();
    for number in 0..PROCESSES {
        all.push(numbers(&fs::read(file(number))?));
        fs::remove_file(file(number))?;
    }
    Ok(Times(all))
}

fn numbers(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks().0.iter().map(|&number| u32::from_le_bytes(number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_process_is_compared_with_the_fastest() {
        let times = Times(vec![vec![1000; 4], vec![2000; 4], vec![4000; 4]]);
        assert_eq!(times.echoes(), 12.0);
        assert_eq!(times.fairness(), Some(0.25));
        assert_eq!(times.percentiles([50.0, 100.0]), [Some(2.0), Some(4.0)]);
    }
}
