//! `compare`: this project's server beside others, in one run. `scripts/compare.sh` builds
//! all of them and starts it.

mod calls;
mod chart;
mod check;
mod child;
mod cli;
mod contender;
mod goals;
mod load;
mod measurement;
mod memory;
mod picture;
mod run;
mod seeds;
mod series;
mod server;
mod shape;
mod sys;
mod table;
mod trouble;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs, io, thread};

use cli::{Options, Request, USAGE};
use contender::OURS;
use measurement::{Measurement, Results};
use run::Run;
use shape::Shape;
use trouble::Trouble;

/// Of everything that is written.
const FOLDER: &str = "target/compare";

fn main() -> ExitCode {
    match cli::parse(env::args().skip(1)) {
        Ok(Request::Help) => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        Ok(Request::Compare(options)) => compare(&options).unwrap_or_else(|error| {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }),
        Err(problem) => {
            eprint!("error: {problem}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Measures all that is asked for, then says what came of it: also of a part, if interrupted.
fn compare(options: &Options) -> io::Result<ExitCode> {
    sys::note_interrupts();
    sys::raise_descriptor_limit()?;
    fs::create_dir_all(FOLDER)?;
    let folder = peers()?;
    let (contenders, missing) = contender::all(&folder, &help()?);
    let contenders: Vec<_> =
        contenders.into_iter().filter(|it| options.wants_server(it.name)).collect();
    if contenders.is_empty() {
        return Err(io::Error::other("none of the servers is there to be measured"));
    }
    let shapes: Vec<_> =
        shape::all(cpus()).into_iter().filter(|it| options.wants_shape(it.group)).collect();
    say_what_is_compared(options, &missing);
    let results = Results::create(&Path::new(FOLDER).join("results.csv"))?;
    let mut run = Run::new(options, contenders, shapes, folder, results);
    let outcome = run.measure();
    report(&run, options)?;
    if matches!(outcome, Err(Trouble::Interrupted)) {
        println!("\n**Interrupted: this is a part of what was to be measured.**");
    }
    Ok(match outcome {
        Err(Trouble::Interrupted) => ExitCode::from(130),
        Err(Trouble::Failed(why)) => return Err(io::Error::other(why)),
        Ok(()) if run.results().iter().any(is_our_failure) => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
    })
}

fn is_our_failure(measurement: &Measurement) -> bool {
    contender::is_ours(measurement.server) && measurement.problem.is_some()
}

/// Where the others are: where this is.
fn peers() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    program.parent().map(Path::to_owned).ok_or_else(|| io::Error::other("this is nowhere"))
}

/// What the product's server says that it can do.
fn help() -> io::Result<String> {
    let output = Command::new(OURS).arg("--help").output();
    let output = output.map_err(|error| io::Error::other(format!("{OURS}: {error}")))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn cpus() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

fn say_what_is_compared(options: &Options, missing: &[&str]) {
    let missing: Vec<_> = missing.iter().copied().filter(|it| options.wants_server(it)).collect();
    println!(
        "{} CPUs, {} rounds of {:?} after {:?} of warm-up each, forwards and backwards in turn.",
        cpus(),
        options.rounds,
        options.time,
        options.warmup()
    );
    if !missing.is_empty() {
        println!("Missing, as not installed or not built: {}.", missing.join(", "));
    }
    if !calls::can_be_counted() {
        println!("Missing: perf, or leave to use it, to count system calls.");
    }
}

fn report(run: &Run, options: &Options) -> io::Result<()> {
    let measured = |shape: &&Shape| run.results().iter().any(|it| it.shape == shape.name);
    let shapes: Vec<&Shape> = run.shapes().iter().filter(measured).collect();
    let servers = run.servers();
    table::print(&shapes, &servers, run.results());
    goals::Goals::new(run.results(), &servers).print(cpus());
    fs::create_dir_all(&options.charts)?;
    let pictures = picture::Pictures { shapes: &shapes, servers: &servers, all: run.results() };
    let drawn =
        pictures.draw(&options.charts).map_err(|error| io::Error::other(error.to_string()))?;
    println!("\nAll measurements: {FOLDER}/results.csv");
    drawn.iter().for_each(|path| println!("Chart: {path}"));
    Ok(())
}
