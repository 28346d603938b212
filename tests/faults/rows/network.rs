//! Faults of the network in between: loss, and peers that are gone.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::clients::blocking;
use crate::clients::crowd::{Crowd, Manner};
use crate::harness::bench::Bench;
use crate::harness::namespace::{Namespace, filter, lost};
use crate::harness::row::Row;
use crate::harness::server::{Server, eventually};
use crate::harness::tcp_table::{self, Entry};

pub(crate) const ROWS: &[Row] = &[
    Row { id: "F17", fault: "peers that are gone", long: true, run: dead_peers },
    Row { id: "F18", fault: "5 % of packets lost both ways", long: false, run: lossy },
];

/// How long a dead peer may be kept: it takes ours 60 s to miss an acknowledgement,
/// and 60 s of silence and at most six questions to miss an idle peer.
const FAREWELL: Duration = Duration::from_secs(180);

fn dead_peers(bench: &Bench) -> Result<String> {
    Namespace::new()?.inside(|| {
        let server = bench.server().start()?;
        let before = server.descriptors();
        let peers = Peers::die(&server)?;
        let (owed, idle) = peers.are_missed(&server)?;
        filter("")?;
        server.descriptors_back_to(before)?;
        server.must_be_alive()?;
        let seconds = |time: Duration| time.as_secs();
        Ok(format!("owed bytes: gone after {} s; idle: after {} s", seconds(owed), seconds(idle)))
    })
}

/// Two peers whose every packet is lost.
struct Peers {
    /// The server has sent it bytes that it will never acknowledge.
    owed: TcpStream,
    idle: TcpStream,
}

impl Peers {
    fn die(server: &Server) -> Result<Peers> {
        let mut peers = Peers { owed: server.connect()?, idle: server.connect()? };
        blocking::ping(&mut peers.owed)?;
        blocking::ping(&mut peers.idle)?;
        let port = server.address.port();
        filter(&format!("tcp sport {port} drop"))?;
        peers.owed.write_all(b"are you still there?")?;
        eventually("the server has sent a reply that is lost", || {
            Ok(entry(server, &peers.owed)?.is_some_and(|entry| entry.unacknowledged > 0))
        })?;
        filter(&format!("tcp sport {port} drop\ntcp dport {port} drop"))?;
        let idle = entry(server, &peers.idle)?.context("the idle peer is gone already")?;
        ensure!(
            idle.timer != tcp_table::NO_TIMER,
            "no timer runs for an idle peer: it is kept forever"
        );
        Ok(peers)
    }

    /// Waits until the server has given both up, and returns after how long.
    fn are_missed(&self, server: &Server) -> Result<(Duration, Duration)> {
        let (began, mut owed, mut idle) = (Instant::now(), None, None);
        while owed.is_none() || idle.is_none() {
            ensure!(
                began.elapsed() < FAREWELL,
                "after {FAREWELL:?} the peer that is owed bytes is {}, the idle one {}",
                word(owed),
                word(idle)
            );
            std::thread::sleep(Duration::from_millis(100));
            note(&mut owed, began, entry(server, &self.owed)?);
            note(&mut idle, began, entry(server, &self.idle)?);
        }
        Ok((owed.unwrap_or_default(), idle.unwrap_or_default()))
    }
}

fn note(missed: &mut Option<Duration>, began: Instant, entry: Option<Entry>) {
    if entry.is_none() {
        missed.get_or_insert(began.elapsed());
    }
}

fn word(missed: Option<Duration>) -> &'static str {
    if missed.is_some() { "gone" } else { "still kept" }
}

/// The server's side of a connection, as long as there is one.
fn entry(server: &Server, stream: &TcpStream) -> Result<Option<Entry>> {
    let peer_port = stream.local_addr()?.port();
    let entries = tcp_table::on_port(server.address.port())?;
    Ok(entries
        .into_iter()
        .find(|entry| entry.peer_port == peer_port && entry.state == tcp_table::ESTABLISHED))
}

fn lossy(bench: &Bench) -> Result<String> {
    let (clients, bytes) = bench.measure((4, 128 << 10), (50, 2 << 20));
    Namespace::new()?.inside(|| {
        let server = bench.server().start()?;
        let port = server.address.port();
        let lose = "numgen random mod 100 < 5 counter name lost drop";
        filter(&format!("tcp dport {port} {lose}\ntcp sport {port} {lose}"))?;
        let crowd = Crowd::connect(server.address, clients, Manner::default())?;
        let received = crowd.finish_after(bytes)?;
        let lost = lost()?;
        ensure!(lost > 0, "no packet was lost");
        filter("")?;
        server.must_be_alive()?;
        Ok(format!(
            "{received} bytes back on {clients} connections, all exact; {lost} packets lost"
        ))
    })
}
