//! Faults of the process: stopped, killed and restarted, started wrongly.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Signal, test_kill_process_group};

use crate::clients::blocking;
use crate::clients::crowd::{Crowd, Manner};
use crate::harness::bench::{Bench, free_address};
use crate::harness::namespace::with_buffers;
use crate::harness::row::Row;
use crate::harness::server::{PATIENCE, Server, eventually};
use crate::harness::tcp_table;

pub(crate) const ROWS: &[Row] = &[
    Row { id: "F15", fault: "server and clients stopped for a while", long: false, run: stopped },
    Row { id: "F30", fault: "kill -9 and restart", long: false, run: killed_and_restarted },
    Row { id: "F40", fault: "started wrongly", long: false, run: started_wrongly },
];

/// With small buffers, so that the other side of a stopped process soon waits.
const TALK: Manner = Manner { chunk: 16 << 10, window: 16 << 10, buffers: Some(8 << 10) };

/// Where sockets hold little, or it would take hundreds of megabytes to fill them.
fn stopped(bench: &Bench) -> Result<String> {
    with_buffers([4096, 16 << 10, 64 << 10], || stopped_in_turn(bench))
}

fn stopped_in_turn(bench: &Bench) -> Result<String> {
    let (rounds, sleepers, others) = bench.measure((10, 10, 5), (50, 100, 20));
    let more = bench.measure(1 << 20, 8 << 20);
    // However long the machine takes for it.
    let server = bench.server().flags(&["--write-timeout", "5m"]).start()?;
    let mut crowd = Crowd::connect(server.address, sleepers + others, TALK)?;
    for round in 1..=rounds {
        stop_for_a_while(&server, &mut crowd).with_context(|| format!("stop {round}"))?;
    }
    crowd.set_reading(0..sleepers + others, false)?;
    crowd.come_to_rest()?;
    crowd.set_reading(sleepers..sleepers + others, true)?;
    crowd.receive(more).context("while others do not read")?;
    let waiting = crowd.under_way()?;
    let total = crowd.finish_after(0)?;
    server.must_be_alive()?;
    Ok(format!(
        "server: went on {rounds} of {rounds} times; {sleepers} clients: slept over {waiting} bytes \
         while others got {more}; all {total} bytes exact"
    ))
}

/// Stops the server amid the talk, until all buffers on the way are full.
fn stop_for_a_while(server: &Server, crowd: &mut Crowd) -> Result<()> {
    crowd.receive(256 << 10)?;
    server.signal_all(Signal::STOP)?;
    eventually("the server is stopped", || Ok(server.state()? == 'T'))?;
    // The kernel takes it on the server's behalf.
    let mut newcomer = server.connect()?;
    crowd.come_to_rest()?;
    server.signal_all(Signal::CONT)?;
    blocking::ping(&mut newcomer).context("a client that connected meanwhile")
}

/// How many connections are open when the server is killed.
const OPEN: usize = 20;

fn killed_and_restarted(bench: &Bench) -> Result<String> {
    let rounds = bench.measure(10, 50);
    let mut server = bench.server().start()?;
    let (address, mut kept, mut old) = (server.address, Vec::new(), 0);
    for round in 1..=rounds {
        let mut clients = blocking::connect_some(address, OPEN)?;
        server.signal(Signal::KILL)?;
        server.end_within(PATIENCE)?;
        // Half of them are closed, and the kernel keeps their addresses for a minute;
        // half are still open on this side.
        kept = clients.split_off(OPEN / 2);
        clients.into_iter().try_for_each(read_to_the_end)?;
        if round == rounds {
            old = tcp_table::on_port(address.port())?.len();
        }
        server = bench.server().start_on(address).with_context(|| format!("restart {round}"))?;
    }
    drop(kept);
    server.must_be_alive()?;
    Ok(format!("bound at once {rounds} of {rounds} times, in the end over {old} old connections"))
}

/// However it ends: of a forking server, only the first process was killed.
fn read_to_the_end(mut stream: TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    let _ = stream.read_to_end(&mut Vec::new());
    Ok(())
}

/// What our server cannot be started with, and the exit code.
const WRONG: [(&[&str], i32); 7] = [
    (&["--no-such-flag"], 2),
    (&["--io-threads", "0"], 2),
    (&["--framing", "morse"], 2),
    (&["--write-timeout", "soon"], 2),
    (&["one-too-many"], 2),
    (&["--log-file", "/no/such/folder/log"], 1),
    (&["--log-file", "/"], 1),
];

fn started_wrongly(bench: &Bench) -> Result<String> {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    fail(bench, taken.local_addr()?, &[], 1).context("port in use")?;
    let mut count = 1;
    if bench.is_ours() {
        // Reserved for documentation: no machine has it.
        let foreign = SocketAddr::from(([192, 0, 2, 1], taken.local_addr()?.port()));
        fail(bench, foreign, &[], 1).context("a foreign address")?;
        for (flags, code) in WRONG {
            let free = free_address()?;
            fail(bench, free, flags, code).with_context(|| flags.join(" "))?;
            ensure!(TcpStream::connect(free).is_err(), "{}: a process listens", flags.join(" "));
        }
        count += 1 + WRONG.len();
    }
    Ok(format!(
        "{count} of {count} wrong starts end with their reason and exit code, and leave nothing"
    ))
}

/// Starts the server, which must print one line with the reason, and end.
fn fail(bench: &Bench, address: SocketAddr, flags: &[&str], code: i32) -> Result<()> {
    let path = bench.folder.join("complaint");
    let file = fs::File::create(&path)?;
    let output = (file.try_clone()?.into(), file.into());
    let server = bench.server().flags(flags).output(output.0, output.1).launch(address)?;
    let (status, _) = server.end_within(PATIENCE)?;
    ensure!(!status.success(), "it ended with success");
    let gone = || Ok(test_kill_process_group(server.pid()).is_err());
    eventually("no process is left", gone)?;
    if bench.is_ours() {
        ensure!(status.code() == Some(code), "it ended with {status}, not {code}");
        must_be_a_line(&fs::read_to_string(&path)?, code)?;
    }
    Ok(())
}

/// One line. Wrong usage (2) adds what is right.
fn must_be_a_line(output: &str, code: i32) -> Result<()> {
    let lines = output.lines().filter(|line| !line.is_empty()).count();
    let complaints = output.lines().filter(|line| line.starts_with("error: ")).count();
    ensure!(complaints == 1 && (lines == 1 || code == 2), "it printed: {output}");
    Ok(())
}
