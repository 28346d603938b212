//! Faults of threads: too few can be had.

use std::fs;
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};

use crate::clients::blocking;
use crate::harness::bench::{Bench, free_address};
use crate::harness::row::{Row, Skip};
use crate::harness::server::{PATIENCE, Server, eventually};

pub(crate) const ROWS: &[Row] =
    &[Row { id: "F48", fault: "too few threads", long: false, run: too_few_threads }];

/// What a server does that may have this many threads.
#[derive(PartialEq)]
enum Start {
    /// It serves all the same.
    Serves,
    /// It ends with an error, and took no connection before.
    Fails,
}

fn too_few_threads(bench: &Bench) -> Result<String> {
    ["setpriv", "prlimit"].iter().try_for_each(|tool| bench.must_have(tool))?;
    if !rustix::process::geteuid().is_root() {
        return Err(Skip("only root can start it as a user with no other threads".into()).into());
    }
    let most = bench.measure(6, 40);
    let mut fails = 0;
    for threads in 1..=most {
        let start = start_with(bench, threads).with_context(|| format!("{threads} threads"))?;
        fails += u64::from(start == Start::Fails);
    }
    ensure!(!bench.is_ours() || fails == most, "it needs 66 threads, and served with fewer");
    Ok(format!("1 to {most} threads: it ended with an error {fails} times, and served the others"))
}

fn start_with(bench: &Bench, threads: u64) -> Result<Start> {
    let user = format!("--reuid={}", 61_000 + std::process::id() % 4000);
    let wrapper = ["setpriv", &user, "--clear-groups", "prlimit", &format!("--nproc={threads}")];
    let output = bench.folder.join("F48");
    let file = fs::File::create(&output)?;
    let launch = bench.server().wrapped_in(&wrapper).flags(&["--io-threads", "63"]);
    let server = launch.output(file.try_clone()?.into(), file.into()).launch(free_address()?)?;
    let start = starts_or_fails(&server)?;
    if bench.is_ours() && start == Start::Fails {
        let text = fs::read_to_string(&output)?;
        ensure!(!text.contains("listening on"), "it said that it listens: {text}");
        let limit = format!(": ulimit -u is {threads}");
        ensure!(text.contains("cannot start thread ") && text.contains(&limit), "it said: {text}");
        ensure!(server.status()?.and_then(|status| status.code()) == Some(1), "not with 1");
    }
    Ok(start)
}

/// One that takes a connection must serve it, and others too.
fn starts_or_fails(server: &Server) -> Result<Start> {
    let mut first = None;
    eventually("it ends or listens", || {
        first = TcpStream::connect(server.address).ok();
        Ok(first.is_some() || server.status()?.is_some())
    })?;
    if let (None, Some(status)) = (&first, server.status()?) {
        ensure!(!status.success(), "it ended with success");
        return Ok(Start::Fails);
    }
    let served = first.map_or(Ok(()), |mut stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        blocking::ping(&mut stream).context("it took a connection, and did not answer")
    });
    server.unless_it_has_ended(served)?;
    let mut others = blocking::connect_some(server.address, 50)?;
    others.iter_mut().try_for_each(blocking::ping)?;
    server.must_be_alive()?;
    Ok(Start::Serves)
}
