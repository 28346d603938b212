//! A server that drains loses nothing that it was sent before.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::support::eventually;
use crate::support::running::{Running, config};
use crate::support::server::ServerProcess;
use crate::support::streams::{exchange, fill, frame, noise, read_to_end};
use crossbeam_channel::bounded;
use reactor_server::{Config, ConnectionId, Ending, Framing, Handler, Reason, Reply};
use rustix::process::Signal;

/// Waits until the server's kernel has acknowledged all that was sent.
pub(super) fn wait_until_acknowledged(server: &Running) {
    eventually("all is acknowledged", || unacknowledged(server) == 0);
}

/// How many bytes clients have sent that are not acknowledged, as the kernel lists them.
fn unacknowledged(server: &Running) -> usize {
    let sockets = procfs::net::tcp().expect("the table of sockets").into_iter();
    let clients = sockets.filter(|socket| socket.remote_address == server.address);
    clients.map(|socket| socket.tx_queue as usize).sum()
}

/// Where no other test listens: a port that a server gives up here is not soon another's.
pub(super) const UNSHARED: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 77)), 0);

#[test]
fn draining_answers_what_arrived_and_closes_idle_peers() {
    for workers in [0, 2] {
        let mut server = Running::echo(Config { workers, ..config(Framing::Len32) });
        let mut busy: Vec<_> = (0..20).map(|_| server.connect()).collect();
        let mut idle: Vec<_> = (0..20).map(|_| server.connect()).collect();
        server.wait_until("all are in", |stats| stats.sum(|reactor| &reactor.opened) == 40);
        let message = frame(&noise(20_000));
        for stream in &mut busy {
            stream.write_all(&message).expect("sent");
        }
        wait_until_acknowledged(&server);
        server.handle.drain();
        for stream in &mut busy {
            assert!(read_to_end(stream) == message, "{workers} workers");
        }
        for stream in &mut idle {
            assert_eq!(read_to_end(stream), b"");
        }
        drop((busy, idle));
        assert_eq!(server.ending(), Ending::Drained);
    }
}

#[test]
fn draining_answers_connections_not_yet_accepted() {
    let mut server = Running::echo(Config { max_connections: Some(10), ..config(Framing::Raw) });
    let mut streams: Vec<_> = (0..40).map(|_| server.connect()).collect();
    for stream in &mut streams {
        stream.write_all(b"just in time").expect("sent");
    }
    wait_until_acknowledged(&server);
    server.handle.drain();
    for stream in &mut streams {
        assert_eq!(read_to_end(stream), b"just in time");
    }
    drop(streams);
    assert_eq!(server.ending(), Ending::Drained);
    assert_eq!(server.handle.stats().acceptor.accepted.get(), 40);
}

#[test]
fn draining_answers_megabytes_to_a_slow_reader() {
    let mut server = Running::echo(config(Framing::Raw));
    let mut stream = server.connect();
    // Now the server's kernel is full too, and the server must answer it all.
    let sent = fill(&mut stream);
    let stuck = unacknowledged(&server);
    server.handle.drain();
    let back = read_to_end(&mut stream);
    drop(stream);
    assert_eq!(server.ending(), Ending::Drained);
    // What was acknowledged before the drain is back. The rest may have arrived in time
    // or not.
    assert!(back.len() >= sent - stuck, "{} of {sent}, {stuck} were stuck", back.len());
    let chunk = noise(1 << 20);
    let expected: Vec<u8> = chunk.iter().copied().cycle().take(back.len()).collect();
    assert!(back == expected);
}

#[test]
fn no_connection_is_accepted_after_the_drain() {
    let mut server = Running::echo(Config { address: UNSHARED, ..config(Framing::Raw) });
    server.handle.drain();
    assert_eq!(server.ending(), Ending::Drained);
    assert!(TcpStream::connect(server.address).is_err());
}

#[test]
fn peers_that_never_read_cannot_delay_the_end() {
    let drain_timeout = Duration::from_millis(300);
    let mut server = Running::echo(Config { drain_timeout, ..config(Framing::Raw) });
    let streams: Vec<_> = (0..10).map(|_| server.connect()).collect();
    let chunk = noise(1 << 20);
    for stream in &streams {
        stream.set_nonblocking(true).expect("non-blocking");
    }
    server.wait_until("the server holds much", |stats| {
        streams.iter().for_each(|mut stream| drop(stream.write(&chunk)));
        stats.sum(|reactor| &reactor.received) > 20 << 20
    });
    let began = Instant::now();
    server.handle.drain();
    assert_eq!(server.ending(), Ending::Forced);
    assert!(began.elapsed() >= drain_timeout);
    // A reactor that is late closes them after that.
    server.wait_until("they are closed", |stats| stats.closed_for(Reason::Stop) > 0);
}

#[test]
fn stop_resets_connections_and_ends() {
    let mut server = Running::echo(config(Framing::Raw));
    let mut stream = server.connect();
    stream.write_all(b"hello").expect("sent");
    stream.read_exact(&mut [0; 5]).expect("a reply");
    server.handle.stop();
    assert_eq!(server.ending(), Ending::Forced);
    let error = stream.read(&mut [0; 1]).expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

/// Never returns from its first message.
struct Stuck(crossbeam_channel::Receiver<()>, crossbeam_channel::Sender<()>);

impl Handler for Stuck {
    type Session = ();

    fn opened(&self, _: ConnectionId, _: SocketAddr, _: &mut Reply<'_>) {}

    fn message(&self, _: &mut (), _: &[u8], _: &mut Reply<'_>) {
        let _ = self.1.send(());
        let _ = self.0.recv();
    }
}

#[test]
fn a_stuck_handler_cannot_delay_the_end() {
    for workers in [0, 1] {
        let (key, door) = bounded::<()>(0);
        let (arrived, arrivals) = bounded(1);
        let drain_timeout = Duration::from_millis(50);
        let config = Config { workers, drain_timeout, io_threads: 1, ..config(Framing::Raw) };
        let mut server = Running::start(config, Stuck(door, arrived));
        let mut stream = server.connect();
        stream.write_all(b"anything").expect("sent");
        arrivals.recv().expect("it is stuck");
        server.handle.drain();
        assert_eq!(server.ending(), Ending::Forced);
        drop(key);
    }
}

/// A server of one reactor that spreads a drain, and four connections in the order of their turns.
fn spreading(drain_spread: Duration, drain_timeout: Duration) -> (Running, Vec<TcpStream>) {
    let config = Config { address: UNSHARED, io_threads: 1, ..config(Framing::Raw) };
    let config = Config { drain_spread, drain_timeout, ..config };
    let server = Running::echo(config);
    let mut streams: Vec<_> = (0..4).map(|_| server.connect()).collect();
    streams.iter_mut().for_each(|stream| exchange(stream, b"before"));
    (server, streams)
}

#[test]
fn a_connection_is_served_until_its_turn_in_a_spread_drain() {
    let hour = Duration::from_secs(3600);
    let (server, mut streams) = spreading(hour, hour);
    server.handle.drain();
    assert_eq!(read_to_end(&mut streams[0]), b"");
    streams[1..].iter_mut().for_each(|stream| exchange(stream, b"still here"));
    assert!(TcpStream::connect(server.address).is_err());
}

#[test]
fn a_spread_drain_loses_nothing_that_arrives_before_its_turn() {
    let spread = Duration::from_millis(300);
    let (mut server, mut streams) = spreading(spread, Duration::from_secs(3600));
    let began = Instant::now();
    server.handle.drain();
    for (turn, stream) in streams.iter_mut().enumerate() {
        // The server's clock counts milliseconds.
        let is_its_turn = || began.elapsed() + Duration::from_millis(1) >= spread / 4 * turn as u32;
        stream.write_all(b"hello").expect("sent");
        wait_until_acknowledged(&server);
        // The first one is late, and each that the test is too slow for.
        let is_late = is_its_turn();
        let back = read_to_end(stream);
        assert!(back == b"hello" || is_late && back.is_empty(), "turn {turn}: {back:?}");
        assert!(is_its_turn(), "turn {turn} is too early");
    }
    drop(streams);
    assert_eq!(server.ending(), Ending::Drained);
}

#[test]
fn the_timeout_of_a_spread_drain_counts_from_the_last_turn() {
    let (spread, timeout) = (Duration::from_millis(300), Duration::from_millis(200));
    let (mut server, mut streams) = spreading(spread, timeout);
    // The last one never reads what it is owed, and so is there to the end.
    fill(&mut streams[3]);
    let began = Instant::now();
    server.handle.drain();
    assert_eq!(server.ending(), Ending::Forced);
    assert!(began.elapsed() >= spread / 4 * 3 + timeout, "{:?}", began.elapsed());
}

#[test]
fn a_connection_that_ends_before_its_turn_is_no_stale_event() {
    let (mut server, streams) = spreading(Duration::from_millis(200), Duration::from_secs(10));
    server.handle.drain();
    drop(streams);
    assert_eq!(server.ending(), Ending::Drained);
    assert_eq!(server.handle.stats().sum(|reactor| &reactor.stale), 0);
}

#[test]
fn a_delayed_drain_accepts_and_serves_until_it_begins() {
    let mut server = ServerProcess::start(&["--drain-delay", "1h"]);
    let mut stream = server.connect();
    exchange(&mut stream, b"before");
    server.signal(Signal::TERM);
    server.wait_for_log("draining in 3600s");
    exchange(&mut stream, b"after");
    assert!(server.is_alive());
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(1), "a second signal stops at once");
}

#[test]
fn a_delayed_drain_begins_after_its_delay() {
    let mut server = ServerProcess::start_on(UNSHARED.ip(), &["--drain-delay", "100ms"]);
    let mut stream = server.connect();
    exchange(&mut stream, b"before");
    let began = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(read_to_end(&mut stream), b"");
    assert!(began.elapsed() >= Duration::from_millis(100));
    drop(stream);
    assert_eq!(server.exit_code(), Some(0));
    assert!(TcpStream::connect(server.address).is_err());
}
