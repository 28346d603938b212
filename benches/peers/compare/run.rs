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

/// Connections held to see what they cost, or as many as there are descriptors for.
const HELD: usize = 15_000;
const HELD_QUICKLY: usize = 2_000;
/// Descriptors of a process that are no connections.
const OTHER: u64 = 300;
/// Messages of a seed process for each second that a measurement takes. That is about three
/// times as long, so that starting them weighs little: the original's run had 100,000.
const SEED_MESSAGES: f64 = 10_000.0;

#[derive(Debug)]
pub(crate) struct Run<'a> {
    options: &'a Options,
    contenders: Vec<Contender>,
    shapes: Vec<Shape>,
    /// Of the programs.
    folder: PathBuf,
    results: Results,
    began: Instant,
}

/// Whether system calls are counted under it: the tables of threads and of memory have no
/// column for them.
fn is_counted(shape: &Shape) -> bool {
    shape.is_pinned || ["hop", "seed"].contains(&shape.group)
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
    /// It was interrupted, or a result could not be written. A server that fails is among the
    /// results.
    pub(crate) fn measure(&mut self) -> Result<()> {
        self.check()?;
        self.count_calls()?;
        let mut timed = self.pairs(|shape| shape.work != Work::Memory);
        for round in 1..=self.options.rounds {
            self.progress(&format!("round {round} of {}", self.options.rounds));
            for (shape, contender) in &timed {
                self.once(round, shape, contender)?;
            }
            // What the machine does in between is nobody's advantage.
            timed.reverse();
        }
        self.progress("memory");
        for (shape, contender) in self.pairs(|shape| shape.work == Work::Memory) {
            self.once(1, &shape, &contender)?;
        }
        Ok(())
    }

    /// What is to be measured under those shapes, and in which order.
    fn pairs(&self, is_meant: impl Fn(&Shape) -> bool) -> Vec<(Shape, Contender)> {
        let shapes = self.shapes.iter().filter(|shape| is_meant(shape));
        let pairs = shapes.flat_map(|shape| {
            let servers = self.contenders.iter().filter(|it| it.runs_in(shape.group));
            servers.map(|contender| (shape.clone(), contender.clone()))
        });
        pairs.collect()
    }

    /// Leaves out who does not echo every byte, and says so.
    fn check(&mut self) -> Result<()> {
        self.progress("whether all of them echo every byte, also behind a half-close");
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
        self.progress("system calls");
        for (shape, contender) in self.pairs(is_counted) {
            // In a hurry, only where each echo comes alone.
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
        let wanted = if self.options.is_quick { HELD_QUICKLY } else { HELD };
        Ok(wanted.min(possible))
    }

    /// Adds a measurement, or why there is none.
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

    fn progress(&self, what: &str) {
        eprintln!("{:6.0} s  {what}", self.began.elapsed().as_secs_f64());
    }
}
