//! Results in the formats of other programs, each in a file of its own.

use std::fmt;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use reactor_server::program::stream::{Stream, print_error};

use crate::cli::ExportArgs;
use crate::output;
use crate::report::{Report, csv, hgrm};

/// The files of `--csv`, `--csv-timeline` and `--hgrm`.
#[derive(Debug)]
pub(crate) struct Exports<'a>(Vec<Export<'a>>);

#[derive(Debug)]
struct Export<'a> {
    flag: &'static str,
    path: &'a Path,
    stream: Stream,
    format: Format,
}

/// Renders a report, with these percentiles.
type Format = fn(&Report, &[f64]) -> anyhow::Result<String>;

/// Two outputs are the same file, pipe or socket, where they would mix.
#[derive(Debug)]
pub(crate) struct SameOutput {
    flag: &'static str,
    other: &'static str,
}

impl fmt::Display for SameOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {} have the same output", self.flag, self.other)
    }
}

impl std::error::Error for SameOutput {}

/// What `--output` is called where another output is the same.
pub(crate) const RESULTS: &str = "the results (--output)";

/// Checks that no two outputs are the same file, pipe or socket. Devices may be shared.
pub(crate) fn refuse_same(outputs: &[(&'static str, &Stream)]) -> Result<(), SameOutput> {
    for (index, &(flag, stream)) in outputs.iter().enumerate() {
        for &(other, open) in &outputs[..index] {
            if stream.is_same(open) && !stream.is_device() {
                return Err(SameOutput { flag, other });
            }
        }
    }
    Ok(())
}

impl<'a> Exports<'a> {
    /// Opens the files that these flags ask for, beside outputs that are open already.
    ///
    /// # Errors
    /// A file cannot be created, or is that of another output.
    pub(crate) fn open(
        args: &'a ExportArgs,
        others: &[(&'static str, &Stream)],
    ) -> anyhow::Result<Exports<'a>> {
        let wanted: [(_, _, Format); 3] = [
            ("--csv", &args.csv, csv::summary),
            ("--csv-timeline", &args.csv_timeline, csv::timeline),
            ("--hgrm", &args.hgrm, hgrm::render),
        ];
        let mut exports: Vec<Export<'_>> = Vec::new();
        for (flag, path, format) in wanted {
            let Some(path) = path else { continue };
            let stream = output::create(path)?;
            exports.push(Export { flag, path, stream, format });
        }
        let own = exports.iter().map(|export| (export.flag, &export.stream));
        refuse_same(&others.iter().copied().chain(own).collect::<Vec<_>>())?;
        Ok(Exports(exports))
    }

    /// Writes all of them, and returns whether that worked. The error of each that cannot be
    /// written is printed.
    pub(crate) fn write(&mut self, report: &Report, percentiles: &[f64]) -> bool {
        let mut are_written = true;
        for export in &mut self.0 {
            if let Err(error) = export.write(report, percentiles) {
                print_error(&format!("error: {error:#}"));
                are_written = false;
            }
        }
        are_written
    }
}

impl Export<'_> {
    fn write(&mut self, report: &Report, percentiles: &[f64]) -> anyhow::Result<()> {
        let text = (self.format)(report, percentiles)?;
        let written = self.stream.write_all(text.as_bytes());
        written.with_context(|| format!("cannot write {} to {}", self.flag, self.path.display()))
    }
}
