//! What a TCP echo server survives. Each row is a fault that is put to it over
//! loopback and judged from outside, by bytes, `/proc` and exit codes, so the same
//! rows score any echo server that can be started by a command line.
//!
//! `cargo test` runs the quick rows against this project's server;
//! `scripts/faults.sh` runs the rest, or another server.
// `pub` is for the other files of this program.
#![allow(unreachable_pub)]

mod accept;
mod ask;
mod bench;
mod bytes;
mod cgroup;
mod churn;
mod cli;
mod client;
#[path = "../common/mod.rs"]
mod common;
mod crowd;
mod descriptors;
mod drain;
mod errnos;
mod fairness;
mod frames;
mod groups;
mod handlers;
mod herd;
mod hogs;
mod hose;
mod hostile;
mod logs;
mod memory;
mod models;
mod namespace;
mod network;
mod obedient;
mod pingers;
mod process;
mod rogue;
mod row;
mod server;
mod shortage;
mod signals;
mod slowloris;
mod soak;
mod sockets;
mod sources;
mod splits;
mod strace;
mod swarm;
mod talk;
mod workers;

use std::process::ExitCode;

use bench::Bench;
use clap::Parser;
use cli::Cli;
use row::{Row, Verdict};

/// The families, each a file.
const FAMILIES: &[&[Row]] = &[
    accept::ROWS,
    errnos::ROWS,
    hostile::ROWS,
    frames::ROWS,
    fairness::ROWS,
    memory::ROWS,
    bytes::ROWS,
    splits::ROWS,
    process::ROWS,
    signals::ROWS,
    logs::ROWS,
    descriptors::ROWS,
    network::ROWS,
    churn::ROWS,
    drain::ROWS,
    handlers::ROWS,
    workers::ROWS,
    models::ROWS,
];

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

/// Runs the rows one after the other and says what came of each.
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
    ExitCode::from(u8::from(count("FELL") > 0))
}
