//! Faults that only a model can put: every errno, every interleaving. The models
//! stand beside what they model, so a row runs theirs and repeats what it says.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::bench::Bench;
use crate::row::Row;
use crate::server::within;

pub const ROWS: &[Row] = &[
    Row {
        id: "F20",
        fault: "any errno and any short count on every read and write",
        long: true,
        run: simulated,
    },
    Row { id: "F37", fault: "a wake-up in every interleaving", long: true, run: interleaved },
];

/// How long a model may take, and be built before.
const LIMIT: Duration = Duration::from_secs(900);

fn simulated(bench: &Bench) -> Result<String> {
    // Cargo says which it is to what it runs.
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["test", "--release", "--lib", "simulation", "--", "--nocapture"]);
    command.env("SEEDS", "10000");
    figure_of(bench, "simulation", command)
}

fn interleaved(bench: &Bench) -> Result<String> {
    figure_of(bench, "loom", Command::new("scripts/loom.sh"))
}

/// Runs the model, and finds the line in which it says what it has seen.
fn figure_of(bench: &Bench, model: &str, mut command: Command) -> Result<String> {
    bench.must_be_ours("needs its source")?;
    let path = bench.folder.join(model);
    let file = File::create(&path)?;
    command.current_dir(env!("CARGO_MANIFEST_DIR")).process_group(0);
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let mut run = Run(command.spawn().with_context(|| format!("cannot run {command:?}"))?);
    let mut status = None;
    within(LIMIT, "the model ends", || {
        status = run.0.try_wait()?;
        Ok(status.is_some())
    })?;
    let said = fs::read_to_string(&path)?;
    let ended = status.context("it has not ended")?;
    let last = said.lines().last().unwrap_or_default();
    ensure!(ended.success(), "{ended}: {last}");
    let mark = format!("{model}: ");
    let figure = said.lines().rev().find_map(|line| Some(line.split_once(&mark)?.1));
    Ok(figure.with_context(|| format!("it does not say what it has seen: {last}"))?.to_owned())
}

/// A command with whatever it has started, ended with it.
struct Run(Child);

impl Drop for Run {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
            let _ = self.0.wait();
        }
    }
}
