//! One measurement, and the file that all of them are written to.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// One server under one shape, in one round. A figure that the shape does not measure is `None`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measurement {
    pub(crate) shape: String,
    pub(crate) server: &'static str,
    pub(crate) threads: usize,
    pub(crate) round: usize,
    /// Echoes per second.
    pub(crate) rate: Option<f64>,
    /// Microseconds of the server's CPU per echo.
    pub(crate) cpu: Option<f64>,
    /// Latency in microseconds.
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) p999: Option<f64>,
    /// The rate of the slowest client over that of the fastest.
    pub(crate) fairness: Option<f64>,
    /// Echoes counted.
    pub(crate) echoes: Option<f64>,
    /// Seconds in which they were counted.
    pub(crate) seconds: Option<f64>,
    /// System calls per echo, from a run of its own.
    pub(crate) calls: Option<f64>,
    /// Connections held, and bytes of RSS per connection before and after each has echoed.
    pub(crate) held: Option<f64>,
    pub(crate) idle: Option<f64>,
    pub(crate) used: Option<f64>,
    /// Why it failed, if it did.
    pub(crate) problem: Option<String>,
}

const COLUMNS: &str = "shape,server,threads,round,rate,cpu_us,p50_us,p99_us,p99_9_us,fairness,echoes,seconds,calls_per_echo,\
     connections,idle_bytes,used_bytes,problem";

impl Measurement {
    fn figures(&self) -> [Option<f64>; 12] {
        [
            self.rate,
            self.cpu,
            self.p50,
            self.p99,
            self.p999,
            self.fairness,
            self.echoes,
            self.seconds,
            self.calls,
            self.held,
            self.idle,
            self.used,
        ]
    }

    fn line(&self) -> String {
        let problem = self.problem.clone().unwrap_or_default();
        let figures = self.figures().map(|it| it.map_or(String::new(), |it| format!("{it:.3}")));
        format!(
            "{},{},{},{},{},\"{}\"",
            self.shape,
            self.server,
            self.threads,
            self.round,
            figures.join(","),
            problem.replace('"', "'")
        )
    }
}

/// All measurements. Each is written at once, so that an interrupt loses none.
#[derive(Debug)]
pub(crate) struct Results {
    file: File,
    pub(crate) all: Vec<Measurement>,
}

impl Results {
    pub(crate) fn create(path: &Path) -> io::Result<Results> {
        let mut file = File::create(path)?;
        writeln!(file, "{COLUMNS}")?;
        Ok(Results { file, all: Vec::new() })
    }

    pub(crate) fn add(&mut self, measurement: Measurement) -> io::Result<()> {
        writeln!(self.file, "{}", measurement.line())?;
        self.all.push(measurement);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_as_many_fields_as_there_are_columns() {
        let line = Measurement { server: "ours", rate: Some(1.5), ..Measurement::default() }.line();
        assert_eq!(line.split(',').count(), COLUMNS.split(',').count());
        assert!(line.contains("ours,0,0,1.500,"), "{line}");
    }
}
