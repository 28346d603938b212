//! Faults of the process: signals, restarts, its log, its descriptors.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::bench::Bench;
use crate::row::Row;

pub const ROWS: &[Row] =
    &[Row { id: "F30", fault: "kill -9 and restart", long: false, run: killed_and_restarted }];

fn killed_and_restarted(bench: &Bench) -> Result<String> {
    let rounds = bench.measure(10, 50);
    let mut server = bench.server().start()?;
    let address = server.address;
    for round in 1..=rounds {
        let mut stream = server.connect()?;
        crate::client::ping(&mut stream)?;
        server.signal(Signal::KILL)?;
        server.end_within(Duration::from_secs(5))?;
        server = bench.server().start_on(address).with_context(|| format!("restart {round}"))?;
    }
    server.must_be_alive()?;
    Ok(format!("bound at once {rounds} of {rounds} times"))
}
