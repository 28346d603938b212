//! Behind a proxy that names its clients.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use reactor_server::{
    Config, ConnectionId, Ending, Framing, Handler, Proxy, ProxyProtocol, Reason, Reply,
};

use crate::support::eventually;
use crate::support::running::{Running, config};
use crate::support::server::ServerProcess;
use crate::support::streams::{connect, exchange, read_to_end, round_trip};

/// Greets the client by its address, then echoes.
struct Greeter;

impl Handler for Greeter {
    type Session = ();

    fn opened(&self, _: ConnectionId, peer: SocketAddr, reply: &mut Reply<'_>) {
        reply.send(&[peer.to_string().as_bytes()]);
    }

    fn message(&self, _: &mut (), _: &[u8], reply: &mut Reply<'_>) {
        reply.echo();
    }
}

fn start(protocol: ProxyProtocol, from: &[&str], workers: usize) -> Running {
    let from = from.iter().map(|network| network.parse().expect("a network")).collect();
    let proxy = Some(Proxy { protocol, from });
    Running::start(Config { proxy, workers, ..config(Framing::line()) }, Greeter)
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const IPV4: [u8; 12] = [10, 0, 0, 1, 10, 0, 0, 2, 0x12, 0x34, 0, 80];

/// A header of version 2.
fn block(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = (rest.len() as u16).to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

/// What a server that expects this version says to each client that it takes.
const NAMED: [(ProxyProtocol, &[u8], &str); 4] = [
    (ProxyProtocol::V1, b"PROXY TCP4 1.2.3.4 5.6.7.8 99 10\r\n", "1.2.3.4:99"),
    (ProxyProtocol::V1, b"PROXY TCP6 fd00::7 ::2 7 10\r\n", "[fd00::7]:7"),
    (ProxyProtocol::V1, b"PROXY TCP6 ::ffff:9.8.7.6 ::2 7 10\r\n", "9.8.7.6:7"),
    (ProxyProtocol::V1, b"PROXY UNKNOWN\r\n", ""),
];

fn named() -> Vec<(ProxyProtocol, Vec<u8>, &'static str)> {
    let lines = NAMED.map(|(version, header, name)| (version, header.to_vec(), name));
    let with_field = [&IPV4[..], &[0xee, 0, 2, 1, 2]].concat();
    let blocks = [
        (block(0x21, 0x11, &IPV4), "10.0.0.1:4660"),
        (block(0x21, 0x11, &with_field), "10.0.0.1:4660"),
        (block(0x20, 0x11, &IPV4), ""),
        (block(0x20, 0, &[]), ""),
    ];
    let blocks = blocks.map(|(header, name)| (ProxyProtocol::V2, header, name));
    lines.into_iter().chain(blocks).collect()
}

#[test]
fn the_client_is_who_the_header_names_and_what_follows_it_is_echoed() {
    for workers in [0, 2] {
        let servers = [ProxyProtocol::V1, ProxyProtocol::V2]
            .map(|version| (version, start(version, &["127.0.0.0/8"], workers)));
        for (version, header, name) in named() {
            let server = &servers.iter().find(|it| it.0 == version).expect("one").1;
            let stream = server.connect();
            let own = stream.local_addr().expect("an address").to_string();
            let name = if name.is_empty() { &own } else { name };
            let answer = round_trip(stream, [&header[..], b"hello\nPROXY \n"].concat());
            assert_eq!(String::from_utf8_lossy(&answer), format!("{name}\nhello\nPROXY \n"));
        }
    }
}

#[test]
fn a_header_may_be_cut_anywhere() {
    for (version, header, name) in [&named()[0], &named()[5]] {
        let server = start(*version, &["127.0.0.0/8"], 0);
        // Each byte is a segment of its own.
        let mut stream = server.connect();
        for byte in [&header[..], b"hello\n"].concat() {
            stream.write_all(&[byte]).expect("sent");
            thread::sleep(Duration::from_millis(1));
        }
        stream.shutdown(Shutdown::Write).expect("a half-close");
        let answer = read_to_end(&mut stream);
        assert_eq!(String::from_utf8_lossy(&answer), format!("{name}\nhello\n"));
        for cut in 1..header.len() {
            let mut stream = server.connect();
            stream.write_all(&header[..cut]).expect("sent");
            stream.write_all(&header[cut..]).expect("sent");
            stream.write_all(b"hello\n").expect("sent");
            stream.shutdown(Shutdown::Write).expect("a half-close");
            let answer = read_to_end(&mut stream);
            assert_eq!(String::from_utf8_lossy(&answer), format!("{name}\nhello\n"), "{cut}");
        }
    }
}

/// Reads until the server closes or resets the connection, and returns what it said.
fn end_of(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    all
}

#[test]
fn whatever_is_no_right_header_closes_that_connection_and_is_counted() {
    let mut bad_crc = block(0x21, 0x11, &[&IPV4[..], &[3, 0, 4, 1, 2, 3, 4]].concat());
    bad_crc.extend_from_slice(b"hello\n");
    let v1: [&[u8]; 6] = [
        b"hello\n",
        b"PROXY TCP4 ::1 ::2 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
        SIGNATURE,
        &[b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat(),
    ];
    let v2: [&[u8]; 6] = [
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        &block(0x31, 0x11, &IPV4),
        &block(0x2f, 0x11, &IPV4),
        &block(0x21, 0x11, &IPV4[1..]),
        &bad_crc,
        &block(0x21, 0x11, &[0; 5000]),
    ];
    for (version, headers) in [(ProxyProtocol::V1, v1), (ProxyProtocol::V2, v2)] {
        let server = start(version, &["127.0.0.0/8"], 0);
        for (number, header) in headers.into_iter().enumerate() {
            let mut stream = server.connect();
            // It may be closed before all is sent.
            let _ = stream.write_all(header);
            let _ = stream.shutdown(Shutdown::Write);
            assert_eq!(end_of(stream), b"", "{header:?}");
            server.wait_until("it is counted", |stats| {
                stats.closed_for(Reason::ProxyHeader) == number as u64 + 1
            });
        }
        // A peer that says nothing and finishes.
        drop(server.connect());
        server.wait_until("it is counted", |stats| stats.closed_for(Reason::ProxyHeader) == 7);
        assert_eq!(server.handle.stats().closed(), 7);
    }
}

/// Some balancers' health checks connect and reset without a header.
#[test]
fn a_connection_that_is_reset_without_a_header_is_a_reset() {
    let server = start(ProxyProtocol::V2, &["127.0.0.0/8"], 0);
    let stream = server.connect();
    server.wait_until("it is accepted", |stats| stats.acceptor.accepted.get() == 1);
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
    drop(stream);
    server.wait_until("it is counted", |stats| stats.closed_for(Reason::Reset) == 1);
    assert_eq!(server.handle.stats().closed(), 1);
}

#[test]
fn a_connection_that_is_not_from_a_proxy_is_closed() {
    let server = start(ProxyProtocol::V1, &["10.0.0.0/8", "::1/128"], 0);
    let mut stream = server.connect();
    let _ = stream.write_all(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nhello\n");
    assert_eq!(end_of(stream), b"");
    server.wait_until("it is counted", |stats| stats.closed_for(Reason::ProxyHeader) == 1);
}

#[test]
fn an_ipv4_proxy_that_comes_over_ipv6_is_in_an_ipv4_network() {
    let from = vec!["127.0.0.0/8".parse().expect("a network")];
    let proxy = Some(Proxy { protocol: ProxyProtocol::V1, from });
    let address = "[::]:0".parse().expect("an address");
    let server = Running::start(Config { address, proxy, ..config(Framing::line()) }, Greeter);
    let stream = connect(([127, 0, 0, 1], server.address.port()).into());
    let answer = round_trip(stream, b"PROXY TCP4 1.2.3.4 5.6.7.8 99 10\r\nhello\n".to_vec());
    assert_eq!(String::from_utf8_lossy(&answer), "1.2.3.4:99\nhello\n");
}

#[test]
fn a_header_has_three_seconds_however_it_trickles() {
    let server = start(ProxyProtocol::V1, &["127.0.0.0/8"], 0);
    let began = Instant::now();
    let (silent, mut slow) = (server.connect(), server.connect());
    let trickle = thread::spawn(move || {
        for byte in b"PROXY TCP4 1.2.3.4" {
            if slow.write_all(&[*byte]).is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(250));
        }
        end_of(slow)
    });
    assert_eq!(end_of(silent), b"");
    let took = began.elapsed();
    assert!((Duration::from_millis(2900)..Duration::from_secs(6)).contains(&took), "{took:?}");
    assert_eq!(trickle.join().expect("no panic"), b"");
    server.wait_until("both are counted", |stats| stats.closed_for(Reason::ProxyHeader) == 2);
}

#[test]
fn a_drain_answers_what_has_arrived_behind_a_header_and_ends() {
    let mut server = start(ProxyProtocol::V1, &["127.0.0.0/8"], 0);
    let mut half = server.connect();
    half.write_all(b"PROXY TC").expect("sent");
    let mut whole = server.connect();
    whole.write_all(b"PROXY TCP4 1.2.3.4 5.6.7.8 99 10\r\nhello\n").expect("sent");
    server.wait_until("both are accepted", |stats| stats.acceptor.accepted.get() == 2);
    server.handle.drain();
    assert_eq!(end_of(whole), b"1.2.3.4:99\nhello\n");
    assert_eq!(end_of(half), b"");
    assert_eq!(server.ending(), Ending::Drained);
    let stats = server.handle.stats();
    assert_eq!((stats.closed_for(Reason::Drain), stats.closed_for(Reason::ProxyHeader)), (2, 0));
}

#[test]
fn connection_k_goes_to_reactor_k_mod_n_in_the_order_of_acceptance() {
    let from = vec!["127.0.0.1".parse().expect("a network")];
    let proxy = Some(Proxy { protocol: ProxyProtocol::V1, from });
    let server = Running::echo(Config { io_threads: 3, proxy, ..config(Framing::Raw) });
    let mut streams: Vec<_> = (0..6).map(|_| server.connect()).collect();
    server.wait_until("all are accepted", |stats| stats.acceptor.accepted.get() == 6);
    // The headers arrive in another order.
    for stream in streams.iter_mut().rev() {
        stream.write_all(b"PROXY UNKNOWN\r\n").expect("sent");
        exchange(stream, b"hello");
    }
    let opened = server.handle.stats().reactors.iter().map(|it| it.opened.get());
    assert_eq!(opened.collect::<Vec<_>>(), [2, 2, 2]);
}

#[test]
fn a_wrong_header_has_lines_where_used_connections_have_and_silence_has_none() {
    let server = ServerProcess::start(&["--proxy-protocol", "v1", "--log-connections", "used"]);
    drop(server.connect());
    eventually("it is counted", || server.counter("closed-proxy-header") == "1");
    server.connect().write_all(b"hello\n").expect("sent");
    server.wait_for_log("reason=proxy-header");
    let log = server.log();
    assert_eq!(log.matches("new connection").count(), 1, "{log}");
}

#[test]
fn the_log_has_the_client_and_refused_connections_have_their_own_address() {
    let server = ServerProcess::start(&["--proxy-protocol", "v1"]);
    let mut stream = server.connect();
    stream.write_all(b"PROXY TCP4 192.0.2.7 5.6.7.8 4711 10\r\n").expect("sent");
    exchange(&mut stream, b"hello");
    drop(stream);
    server.wait_for_log("messages=1 in=5B out=5B reason=eof");
    let refused = server.connect();
    let port = refused.local_addr().expect("an address").port();
    (&refused).write_all(b"hello").expect("sent");
    server.wait_for_log("reason=proxy-header");
    let log = server.log();
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!(lines("ip=192.0.2.7,port=4711"), 2, "{log}");
    assert_eq!(lines(&format!("ip=127.0.0.1,port={port}")), 2, "{log}");
    assert_eq!(server.counter("closed-proxy-header"), "1");
}
