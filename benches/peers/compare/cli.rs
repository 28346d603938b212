//! The command line.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use crate::contender;
use crate::shape::{self, Shape};
use crate::target::{self, FOLDER};

pub(crate) const USAGE: &str = "\
Compares this project's server with others, shape by shape, in one run.

    scripts/compare.sh [FLAGS]

  --shapes LIST    A,B,C,D,E,F,hop,seed,threads,memory; seed-4 and the like are
                   one number of threads alone                   [all]
  --servers LIST   ours,floor,tokio,mio,monoio,compio,smol,may,std,go,asio,libuv,libevent;
                   ours-len32 and the like alone, ours with all of them    [all]
  --rounds N       rounds through everything, alternately forwards and backwards    [5]
  --seconds S      seconds per measurement, after a fifth of that to warm up        [1]
  --quick          3 rounds of 0.2 s, fewer numbers of threads, 2,000 idle connections, system
                   calls under A alone; about three minutes
  -h, --help       prints this

Tables and verdicts go to standard output, every measurement to target/compare/results.csv
(or to the same place under $CARGO_TARGET_DIR). The charts are drawn there as well;
CHARTS=img draws them in the folder img.
Exits with 1 if this project's server failed anywhere, 2 for wrong usage, 130 if interrupted.
";

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Options {
    /// All, if empty.
    pub(crate) shapes: Vec<String>,
    /// All, if empty.
    pub(crate) servers: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) is_quick: bool,
    pub(crate) charts: PathBuf,
}

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub(crate) enum Request {
    Help,
    Compare(Options),
}

impl Options {
    fn new() -> Options {
        Options {
            shapes: Vec::new(),
            servers: Vec::new(),
            rounds: 5,
            time: Duration::from_secs(1),
            is_quick: false,
            charts: env::var_os("CHARTS").unwrap_or_else(|| target::path(FOLDER).into()).into(),
        }
    }

    fn quick(self) -> Options {
        Options { rounds: 3, time: Duration::from_millis(200), is_quick: true, ..self }
    }

    pub(crate) fn warmup(&self) -> Duration {
        self.time / 5
    }

    /// Returns whether a shape is selected, by its own name or by that of its group.
    pub(crate) fn wants_shape(&self, shape: &Shape) -> bool {
        let is_named = |name: &str| self.shapes.iter().any(|wanted| wanted == name);
        let is_of_group = self.shapes.is_empty() || is_named(shape.group);
        is_named(&shape.name) || is_of_group && (!self.is_quick || shape.is_quick)
    }

    /// Returns whether a server is selected, by its own name or by the one it is a variant of.
    pub(crate) fn wants_server(&self, name: &str) -> bool {
        let family = name.split('-').next().unwrap_or(name);
        self.servers.is_empty() || self.servers.iter().any(|it| it == name || it == family)
    }
}

/// Reads the words of the command line.
///
/// # Errors
/// A description of the flag or the value that is not understood.
pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Request, String> {
    let words: Vec<String> = words.collect();
    let mut options = Options::new();
    // Other flags override it, wherever they stand.
    if words.iter().any(|word| word == "--quick") {
        options = options.quick();
    }
    let mut words = words.into_iter();
    while let Some(flag) = words.next() {
        match flag.as_str() {
            "-h" | "--help" => return Ok(Request::Help),
            "--quick" => continue,
            "--shapes" | "--servers" | "--rounds" | "--seconds" => {}
            _ => return Err(format!("there is no flag {flag}")),
        }
        let value = words.next().ok_or_else(|| format!("{flag} needs a value"))?;
        options.set(&flag, &value)?;
    }
    Ok(Request::Compare(options))
}

impl Options {
    fn set(&mut self, flag: &str, value: &str) -> Result<(), String> {
        match flag {
            "--shapes" => self.shapes = list(value, shape::is_known)?,
            "--servers" => self.servers = list(value, contender::is_known)?,
            "--rounds" => self.rounds = number(value, 1.0, 1000.0)? as usize,
            _ => self.time = Duration::from_secs_f64(number(value, 0.05, 600.0)?),
        }
        Ok(())
    }
}

fn list(value: &str, is_known: impl Fn(&str) -> bool) -> Result<Vec<String>, String> {
    let names = value.split(',').map(str::trim);
    match names.clone().find(|name| !is_known(name)) {
        Some(name) => Err(format!("there is no shape or server {name:?}")),
        None => Ok(names.map(str::to_owned).collect()),
    }
}

fn number(value: &str, least: f64, most: f64) -> Result<f64, String> {
    match value.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("{value:?} is not a number from {least} to {most}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Request, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    fn options(line: &str) -> Options {
        match of(line) {
            Ok(Request::Compare(options)) => options,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn unknown_flags_and_bad_values_are_refused() {
        for line in [
            "--fast",
            "--rounds",
            "--rounds x",
            "--rounds 0",
            "--servers nobody",
            "--shapes A,G",
            "--shapes seed-5",
            "A",
            "--seconds 0",
        ] {
            assert!(of(line).is_err(), "{line}");
        }
    }

    #[test]
    fn other_flags_override_quick() {
        let options = options("--rounds 7 --quick --shapes A,seed");
        assert_eq!((options.rounds, options.is_quick), (7, true));
    }

    /// The names of the shapes that a command line selects on two CPUs.
    fn shapes(line: &str) -> String {
        let options = options(line);
        let shapes = shape::all(2).into_iter().filter(|it| options.wants_shape(it));
        shapes.map(|shape| shape.name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_shape_is_selected_by_its_name_and_by_its_group() {
        assert_eq!(shapes("--shapes A,seed-4"), "A seed-4");
        assert_eq!(shapes("--shapes seed").split(' ').count(), 7);
        assert_eq!(shapes("--shapes seed --quick"), "seed-1 seed-2 seed-4 seed-32");
        assert_eq!(shapes("--shapes seed-64 --quick"), "seed-64");
    }

    #[test]
    fn a_server_is_selected_by_its_name_and_by_its_family() {
        let ours = options("--servers ours,go");
        assert!(ours.wants_server("ours-len32") && ours.wants_server("go"));
        let one = options("--servers ours-len32");
        assert!(one.wants_server("ours-len32") && !one.wants_server("ours"));
    }
}
