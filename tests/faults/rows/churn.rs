//! Faults of churn: slots and descriptors that are used again and again.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use reactor_server::program::framing::FramingFlag;

use crate::clients::pool::Pool;
use crate::clients::sources::Sources;
use crate::clients::talk::{Farewell, Plan, Talk};
use crate::harness::bench::Bench;
use crate::harness::row::{Row, Skip};
use crate::harness::server::PATIENCE;
use crate::rows::soak::soaked;

pub(crate) const ROWS: &[Row] = &[
    Row { id: "F16", fault: "churn with descriptor reuse", long: false, run: churned },
    Row { id: "F42", fault: "soak: mixed, with churn, 5 % misbehaving", long: true, run: soaked },
];

/// As many as any server can take at once.
const AT_ONCE: usize = 64;
/// A slower server does not get all of it.
const LIMIT: Duration = Duration::from_secs(300);

fn churned(bench: &Bench) -> Result<String> {
    let connections = bench.measure(5_000, 1_000_000);
    let server = bench.server().output(Stdio::null(), Stdio::null()).start()?;
    server.must_be_alive()?;
    let before = server.descriptors_at_rest()?;
    let began = Instant::now();
    let done = churn(server.address, connections)?;
    let rate = done as f64 / began.elapsed().as_secs_f64();
    server.must_be_alive()?;
    let after = server.descriptors_back_to(before)?;
    if done < connections {
        let why = format!("only {done} of {connections} connections in {LIMIT:?}, none wrong");
        return Err(Skip(why).into());
    }
    Ok(format!(
        "{done} connections, {rate:.0} per second, no byte of another; \
         {before} descriptors before, {after} after"
    ))
}

/// Opens and closes connections, and returns how many ended in time.
fn churn(server: std::net::SocketAddr, connections: u64) -> Result<u64> {
    let (mut pool, mut sources) = (Pool::new()?, Sources::new());
    let (mut opened, mut closed) = (0, 0);
    let (began, mut latest) = (Instant::now(), Instant::now());
    while closed < connections && (began.elapsed() < LIMIT || pool.len() > 0) {
        while opened < connections && pool.len() < AT_ONCE && began.elapsed() < LIMIT {
            pool.add(Talk::new(sources.connect(server)?, opened, plan(opened)))?;
            opened += 1;
        }
        let ended = pool.turn(Duration::from_millis(100))?.len();
        closed += ended as u64;
        if ended > 0 {
            latest = Instant::now();
        }
        let open = pool.len();
        ensure!(latest.elapsed() < PATIENCE, "{open} connections hang after {closed}");
    }
    Ok(closed)
}

/// Most are reset, so that the server closes at once and the descriptor is free.
fn plan(connection: u64) -> Plan {
    let farewell = match connection % 16 {
        0 => Farewell::Finish,
        1 => Farewell::FinishEarly,
        _ => Farewell::Reset,
    };
    let length = |random| 1 + random as usize % 300;
    Plan { wire: FramingFlag::Raw, messages: 1 + connection % 2, window: 1, length, farewell }
}
