//! Connection k goes to reactor k mod N, at every N.

use std::collections::{HashMap, HashSet};
use std::net::TcpStream;

use crate::support::eventually;
use crate::support::server::ServerProcess;
use crate::support::streams::exchange;

/// The thread that closed each connection, by the client's port.
///
/// `connection close fd=37,ip=127.0.0.1,port=51178 is 2553. open=...`
fn threads_by_port(log: &str) -> HashMap<u16, u32> {
    let parse = |line: &str| {
        let (_, rest) = line.split_once("connection close fd=")?;
        let (port, rest) = rest.split_once(",port=")?.1.split_once(" is ")?;
        Some((port.parse().ok()?, rest.split_once(". ")?.0.parse().ok()?))
    };
    log.lines().filter_map(parse).collect()
}

/// Opens connections one after the other, and returns the reactor thread of each.
fn reactors_of(server: &ServerProcess, connections: usize) -> Vec<u32> {
    let mut streams: Vec<TcpStream> = Vec::new();
    for _ in 0..connections {
        let mut stream = server.connect();
        // The reply shows that it was accepted before the next one connects.
        exchange(&mut stream, b"hello");
        streams.push(stream);
    }
    let port = |stream: &TcpStream| stream.local_addr().expect("an address").port();
    let ports: Vec<u16> = streams.iter().map(port).collect();
    drop(streams);
    let mut threads = HashMap::new();
    eventually("a close line for each connection", || {
        threads = threads_by_port(&server.log());
        threads.len() == connections
    });
    ports.iter().map(|port| threads[port]).collect()
}

#[test]
fn connections_go_to_all_reactors_in_turn() {
    for reactors in [3, 4, 8, 32, 64] {
        let server = ServerProcess::start(&["--io-threads", &reactors.to_string()]);
        let dealt = reactors_of(&server, 2 * reactors + 5);
        let different: HashSet<_> = dealt[..reactors].iter().collect();
        assert_eq!(different.len(), reactors, "{reactors} reactors: {dealt:?}");
        let turns = dealt.chunks(reactors);
        assert!(turns.clone().all(|turn| dealt.starts_with(turn)), "{reactors}: {dealt:?}");
    }
}
