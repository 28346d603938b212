//! Which faults a TCP echo server survives. Each row puts one fault to it over loopback and
//! judges it from outside, by bytes, `/proc` and exit codes. So the same rows score any echo
//! server that a command line can start.
//!
//! `cargo test` runs the quick rows against this project's server;
//! `scripts/faults.sh` runs the rest, or another server.

mod clients;
#[path = "../shared/free_port.rs"]
mod free_port;
mod harness;
mod rows;
#[path = "../shared/small_pipe.rs"]
mod small_pipe;
#[path = "../shared/splitmix.rs"]
mod splitmix;
#[path = "../shared/strace.rs"]
mod strace;

use std::process::ExitCode;

use clap::Parser;

use harness::bench::Bench;
use harness::cli::Cli;
use harness::row::{Row, Verdict};
use rows::FAMILIES;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let all = FAMILIES.iter().copied().flatten();
    if let Some(name) = cli.unknown_row(all.clone()) {
        eprintln!("error: there is no row {name}");
        return ExitCode::from(2);
    }
    let mut rows: Vec<&Row> = all.filter(|row| cli.wants(row)).collect();
    rows.sort_by_key(|row| row.id);
    if cli.list {
        rows.iter().for_each(|row| println!("{}: test", row.id));
        return ExitCode::SUCCESS;
    }
    let bench = match Bench::new(&cli) {
        Ok(bench) => bench,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::from(2);
        }
    };
    score(&bench, &rows)
}

/// Runs the rows one after the other and prints each verdict.
fn score(bench: &Bench, rows: &[&Row]) -> ExitCode {
    println!("faults put to: {}", bench.title());
    let verdicts: Vec<Verdict> = rows
        .iter()
        .map(|row| {
            let verdict = row.put_to(bench);
            println!("{} {:<8} {}: {}", row.id, verdict.word(), row.fault, verdict.figure());
            bench.end_all();
            verdict
        })
        .collect();
    let count = |word| verdicts.iter().filter(|verdict| verdict.word() == word).count();
    let (survived, skipped) = (count("survived"), count("skipped"));
    println!("{survived} of {} survived, {skipped} skipped", verdicts.len() - skipped);
    ExitCode::from(u8::from(count("FAILED") > 0))
}
