//! Faults of ending: signals again and again, peers that will not go.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;

use crate::clients::blocking;
use crate::harness::bench::Bench;
use crate::harness::row::Row;
use crate::harness::server::{Server, within};

pub(crate) const ROWS: &[Row] = &[
    Row { id: "F28", fault: "a second SIGTERM, 100 signals", long: false, run: signalled_again },
    Row { id: "F29", fault: "SIGTERM with peers that never go", long: false, run: clinging },
];

/// How long a server may take for anything.
const AT_ALL: Duration = Duration::from_secs(30);
/// So long that ours ends in that time only because of the signal.
const PATIENT: &[&str] = &["--drain-timeout", "1m", "--write-timeout", "off"];

fn signalled_again(bench: &Bench) -> Result<String> {
    let rounds = bench.measure(5, 50);
    let (mut second, mut burst) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..rounds {
        second = second.max(signal_twice(bench)?);
        burst = burst.max(signal_a_hundred_times(bench)?);
    }
    Ok(format!(
        "{rounds} times each: ended at most {:.1} ms after the second SIGTERM, {:.1} ms after 100 signals",
        1000.0 * second.as_secs_f64(),
        1000.0 * burst.as_secs_f64()
    ))
}

fn signal_twice(bench: &Bench) -> Result<Duration> {
    let server = bench.server().flags(PATIENT).start()?;
    let _peers = clinging_peers(server.address, 4)?;
    server.signal(Signal::TERM)?;
    let drains = || Ok(server.status()?.is_some() || TcpStream::connect(server.address).is_err());
    // Another server may need no second signal, or ignore the first.
    let limit = if bench.is_ours() { AT_ALL } else { Duration::from_secs(1) };
    let noticed = within(limit, "it notices the signal", drains);
    let ended = server.status()?.is_some();
    if bench.is_ours() {
        noticed?;
        ensure!(!ended, "it did not wait for peers that are owed bytes");
    }
    if !ended {
        server.signal(Signal::TERM)?;
    }
    must_end(bench, &server)
}

fn signal_a_hundred_times(bench: &Bench) -> Result<Duration> {
    let server = bench.server().flags(PATIENT).start()?;
    let _peers = clinging_peers(server.address, 4)?;
    let ours = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP, Signal::USR1];
    let signals = if bench.is_ours() { &ours[..] } else { &ours[..1] };
    // It was not waited for yet: even if it has ended, its id is not reused.
    signals.iter().cycle().take(100).try_for_each(|&signal| server.signal(signal))?;
    must_end(bench, &server)
}

fn must_end(bench: &Bench, server: &Server) -> Result<Duration> {
    let (status, time) = server.end_within(AT_ALL)?;
    ensure!(
        !bench.is_ours() || status.code() == Some(1),
        "it was cut short, and ended with {status}"
    );
    Ok(time)
}

fn clinging(bench: &Bench) -> Result<String> {
    let count = bench.measure(20, 100);
    let flags = ["--drain-timeout", bench.measure("500ms", "1s"), "--write-timeout", "off"];
    let server = bench.server().flags(&flags).start()?;
    let _peers = clinging_peers(server.address, count)?;
    let mut slow = clinging_peers(server.address, 5)?;
    server.signal(Signal::TERM)?;
    // A deadline that begins anew with each byte that is taken would never come.
    let time = within(AT_ALL, "it ends", || {
        slow.iter_mut().try_for_each(read_a_little)?;
        Ok(server.status()?.is_some())
    })?;
    let (status, _) = server.end_within(AT_ALL)?;
    if bench.is_ours() {
        ensure!(time < Duration::from_secs(5), "it ended only after {time:?}");
        ensure!(status.code() == Some(1), "it cut connections, and ended with {status}");
    }
    let deadline = if bench.is_ours() { format!(" of {}", flags[1]) } else { String::new() };
    Ok(format!(
        "{count} peers that never read and 5 that hardly do: ended after {:.2} s{deadline}",
        time.as_secs_f64()
    ))
}

fn read_a_little(stream: &mut TcpStream) -> Result<()> {
    // It may be reset any moment.
    let _ = stream.read(&mut [0; 50]);
    Ok(())
}

/// Peers that send until the server takes no more, and neither read nor close.
fn clinging_peers(address: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    let mut peers = (0..count)
        .map(|_| blocking::connect_with_tiny_buffers(address))
        .collect::<Result<Vec<_>>>()?;
    peers.iter().try_for_each(|peer| peer.set_nonblocking(true))?;
    let (began, mut moved) = (Instant::now(), Instant::now());
    // There is room again for a while, as long as the server moves bytes on.
    while moved.elapsed() < Duration::from_millis(20) && began.elapsed() < Duration::from_secs(5) {
        for peer in &mut peers {
            if stuff(peer) > 0 {
                moved = Instant::now();
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(peers)
}

/// A server that has no room for a peer may reset it: then it does not cling.
fn stuff(peer: &mut TcpStream) -> usize {
    peer.write(&[b'x'; 16 << 10]).unwrap_or(0)
}
