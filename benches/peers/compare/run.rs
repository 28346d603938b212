//! The order in which everything is measured.

use std::path::PathBuf;
use std::time::Instant;

use crate::calls;
use crate::check;
use crate::cli::Options;
use crate::contender::Contender;
use crate::load::{self, Amount};
use crate::measurement::{Measurement, Results};
use crate::memory;
use crate::seeds;
use crate::shape::{Shape, Work};
use crate::sys;
use crate::trouble::{Result, Trouble};

/// Connections that are held to measure their memory; fewer if the descriptors do not suffice.
const HELD: usize = 15_000;
const HELD_QUICK: usize = 2_000;
/// Descriptors of a process for other things than connections.
const OTHER: u64 = 300;
/// Messages of a seed process per second of a measurement. They take about three times that
/// long, so that starting the processes weighs little. The original's run had 100,000.
const SEED_MESSAGES: f64 = 10_000.0;

#[derive(Debug)]
pub(crate) struct Run<'a> {
    options: &'a Options,
    contenders: Vec<Contender>,
    shapes: Vec<Shape>,
    /// The folder of the programs.
    folder: PathBuf,
    results: Results,
    began: Instant,
}

/// Returns whether system calls are counted under a shape.
fn is_counted(shape: &Shape) -> bool {
    shape.work != Work::Memory
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        options: &'a Options,
        contenders: Vec<Contender>,
        shapes: Vec<Shape>,
        folder: PathBuf,
        results: Results,
    ) -> Run<'a> {
        Run { options, contenders, shapes, folder, results, began: Instant::now() }
    }

    pub(crate) fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    pub(crate) fn servers(&self) -> Vec<&'static str> {
        self.contenders.iter().map(|contender| contender.name).collect()
    }

    pub(crate) fn results(&self) -> &[Measurement] {
        &self.results.all
    }

    /// Measures everything.
    ///
    /// # Errors
    /// It was interrupted, or a result could not be written. The failure of a server is not an
    /// error, but a result.
    pub(crate) fn measure(&mut self) -> Result<()> {
        self.check()?;
        self.count_calls()?;
        let mut timed = self.pairs(|shape| shape.work != Work::Memory);
        for round in 1..=self.options.rounds {
            self.progress(&format!("round {round} of {}", self.options.rounds));
            for (shape, contender) in &timed {
                self.once(round, shape, contender)?;
            }
            // A machine that slows down or speeds up favours no server.
            timed.reverse();
        }
        self.progress("memory");
        for (shape, contender) in self.pairs(|shape| shape.work == Work::Memory) {
            self.once(1, &shape, &contender)?;
        }
        Ok(())
    }

    /// The shapes and servers to measure, in order.
    fn pairs(&self, is_wanted: impl Fn(&Shape) -> bool) -> Vec<(Shape, Contender)> {
        let shapes = self.shapes.iter().filter(|shape| is_wanted(shape));
        let pairs = shapes.flat_map(|shape| {
            let servers = self.contenders.iter().filter(|it| it.runs_in(shape));
            servers.map(|contender| (shape.clone(), contender.clone()))
        });
        pairs.collect()
    }

    /// Leaves out a server that does not echo every byte, and notes it.
    fn check(&mut self) -> Result<()> {
        self.progress("checking that each server echoes every byte, also after a half-close");
        for contender in std::mem::take(&mut self.contenders) {
            match check::check(&contender) {
                Ok(()) => self.contenders.push(contender),
                Err(trouble) => self.note(0, "check", 0, &contender, Err(trouble))?,
            }
        }
        Ok(())
    }

    fn count_calls(&mut self) -> Result<()> {
        if !calls::can_be_counted() {
            return Ok(());
        }
        self.progress("counting system calls");
        for (shape, contender) in self.pairs(is_counted) {
            // A quick run counts only under A, where each message arrives alone.
            if !self.options.is_quick || shape.group == "A" {
                let calls = calls::measure(&contender, &shape, &self.folder);
                let result =
                    calls.map(|calls| Measurement { calls: Some(calls), ..Measurement::default() });
                self.note(0, &shape.name, shape.threads, &contender, result)?;
            }
        }
        Ok(())
    }

    fn once(&mut self, round: usize, shape: &Shape, contender: &Contender) -> Result<()> {
        let time = self.options.time;
        let seed_messages = (SEED_MESSAGES * time.as_secs_f64()).max(100.0) as u64;
        let result = match shape.work {
            Work::Client(_) => {
                load::measure(contender, shape, Amount::Time(time, self.options.warmup()))
            }
            Work::Seeds => seeds::measure(contender, shape, &self.folder, seed_messages),
            Work::Memory => memory::measure(contender, shape, self.held()?),
        };
        self.note(round, &shape.name, shape.threads, contender, result)
    }

    fn held(&self) -> Result<usize> {
        let possible = sys::raise_descriptor_limit()?.saturating_sub(OTHER) as usize;
        let wanted = if self.options.is_quick { HELD_QUICK } else { HELD };
        Ok(wanted.min(possible))
    }

    /// Adds a measurement, or the reason why there is none.
    fn note(
        &mut self,
        round: usize,
        shape: &str,
        threads: usize,
        contender: &Contender,
        result: Result<Measurement>,
    ) -> Result<()> {
        let measurement = match result {
            Ok(measurement) => measurement,
            Err(Trouble::Interrupted) => return Err(Trouble::Interrupted),
            Err(Trouble::Failed(why)) => {
                self.progress(&format!("{} failed under {shape}: {why}", contender.name));
                Measurement { problem: Some(why), ..Measurement::default() }
            }
        };
        let (shape, server) = (shape.to_owned(), contender.name);
        self.results.add(Measurement { shape, server, threads, round, ..measurement })?;
        Ok(())
    }

    fn progress(&self, step: &str) {
        eprintln!("{:6.0} s  {step}", self.began.elapsed().as_secs_f64());
    }
}
