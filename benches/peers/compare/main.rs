//! `compare`: measures this project's server beside others, in one run. `scripts/compare.sh`
//! builds all of them and starts it.

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
mod target;
mod trouble;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs, io};

use cli::{Options, Request, USAGE};
use measurement::{Measurement, Results};
use run::Run;
use shape::{Shape, cpus};
use target::{FOLDER, SERVER};
use trouble::Trouble;

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

/// Measures everything selected and reports the results; if interrupted, those measured so far.
fn compare(options: &Options) -> io::Result<ExitCode> {
    sys::note_interrupts();
    sys::raise_descriptor_limit()?;
    fs::create_dir_all(target::path(FOLDER))?;
    let folder = peers()?;
    let (contenders, missing) = contender::all(&folder, &help()?);
    let contenders: Vec<_> =
        contenders.into_iter().filter(|it| options.wants_server(it.name)).collect();
    if contenders.is_empty() {
        return Err(io::Error::other("none of the selected servers is built"));
    }
    let shapes: Vec<_> =
        shape::all(cpus()).into_iter().filter(|it| options.wants_shape(it)).collect();
    print_settings(options, &missing);
    let results = Results::create(&target::path(FOLDER).join("results.csv"))?;
    let mut run = Run::new(options, contenders, shapes, folder, results);
    let outcome = run.measure();
    report(&run, options)?;
    if matches!(outcome, Err(Trouble::Interrupted)) {
        println!("\n**Interrupted: these are the measurements up to then.**");
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

/// The folder of the other servers, which is this program's own.
fn peers() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    program
        .parent()
        .map(Path::to_owned)
        .ok_or_else(|| io::Error::other("this program is in no folder"))
}

/// The `--help` of this project's server, for the flags it has.
fn help() -> io::Result<String> {
    let server = target::path(SERVER);
    let output = Command::new(&server).arg("--help").output();
    let output =
        output.map_err(|error| io::Error::other(format!("{}: {error}", server.display())))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn print_settings(options: &Options, missing: &[&str]) {
    let missing: Vec<_> = missing.iter().copied().filter(|it| options.wants_server(it)).collect();
    println!(
        "{} CPUs, {} rounds of {:?} after {:?} of warm-up each, alternately forwards and backwards.",
        cpus(),
        options.rounds,
        options.time,
        options.warmup()
    );
    if !missing.is_empty() {
        println!("Missing (not installed or not built): {}.", missing.join(", "));
    }
    if !calls::can_be_counted() {
        println!("Missing: perf, or the permission to use it, to count system calls.");
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
    println!("\nAll measurements: {}", target::output("results.csv"));
    drawn.iter().for_each(|path| println!("Chart: {path}"));
    Ok(())
}
