//! Every byte comes back, in every framing.

use std::io::{Read, Write};
use std::net::Shutdown;

use crate::support::running::{Running, config};
use crate::support::streams::{frame, noise, read_frame, read_to_end, round_trip};
use reactor_server::{Config, Echo, Framing, Reason, Server};

#[test]
fn sixty_four_mebibytes_before_a_half_close_all_come_back() {
    for workers in [0, 2] {
        let server = Running::echo(Config { workers, ..config(Framing::Raw) });
        let bytes = noise(64 << 20);
        assert!(round_trip(server.connect(), bytes.clone()) == bytes, "{workers} workers");
        server.wait_until("the close", |stats| stats.closed_for(Reason::Eof) == 1);
    }
}

#[test]
fn a_message_followed_at_once_by_fin_is_answered() {
    for workers in [0, 2] {
        let server = Running::echo(Config { workers, ..config(Framing::Len32) });
        for _ in 0..200 {
            let mut stream = server.connect();
            stream.write_all(&frame(b"last words")).expect("sent");
            stream.shutdown(Shutdown::Write).expect("half-closed");
            assert_eq!(read_to_end(&mut stream), frame(b"last words"));
        }
    }
}

#[test]
fn len32_keeps_all_bytes_and_empty_messages() {
    let server = Running::echo(config(Framing::Len32));
    let mut stream = server.connect();
    let all: Vec<u8> = (0..=255).collect();
    for message in [&all[..], b"", b"\0begins with nul", b"\r", b"\r\n\r\n", b""] {
        stream.write_all(&frame(message)).expect("sent");
        assert_eq!(read_frame(&mut stream), message);
    }
}

#[test]
fn lines_come_back_as_lines() {
    let server = Running::echo(config(Framing::line()));
    let text = b"one\n\ntwo\r\nlone \r in the middle\n\0\n".to_vec();
    assert_eq!(round_trip(server.connect(), text.clone()), text);
}

#[test]
fn any_delimiter_works() {
    let server = Running::echo(config(Framing::Delimited(b"\r\n\r\n".to_vec())));
    let text = b"a\r\nb\r\n\r\n\r\n\r\n\rc\n\r\n\r\n".to_vec();
    assert_eq!(round_trip(server.connect(), text.clone()), text);
}

#[test]
fn messages_sent_byte_by_byte_are_answered() {
    let server = Running::echo(config(Framing::Len32));
    let mut stream = server.connect();
    for message in [&b"x"[..], b"", b"several bytes"] {
        for byte in frame(message) {
            stream.write_all(&[byte]).expect("sent");
        }
        assert_eq!(read_frame(&mut stream), message);
    }
}

#[test]
fn large_messages_and_small_ones_share_a_connection() {
    for workers in [0, 2] {
        let server = Running::echo(Config { workers, ..config(Framing::Len32) });
        let sizes = [1 << 20, 1, 70_000, 0, 65_536, 65_532, 65_533, 3, 500_000];
        let stream: Vec<u8> = sizes.iter().flat_map(|&size| frame(&noise(size))).collect();
        assert!(round_trip(server.connect(), stream.clone()) == stream, "{workers} workers");
    }
}

#[test]
fn the_original_client_works_unchanged() {
    let echo = Echo { prefix: b"reply:".to_vec(), ..Echo::default() };
    let server = Running::start(config(Framing::Len32), echo);
    let mut stream = server.connect();
    for number in 0..1000 {
        let message = format!("message number {number}");
        stream.write_all(&frame(message.as_bytes())).expect("sent");
        // It calls `recv` once for the length and once for the body.
        let mut length = [0; 4];
        assert_eq!(stream.read(&mut length).expect("a length"), 4);
        let mut body = vec![0; u32::from_le_bytes(length) as usize];
        assert_eq!(stream.read(&mut body).expect("a body"), body.len());
        assert_eq!(body, format!("reply:{message}").as_bytes());
    }
}

#[test]
fn a_second_server_on_the_same_port_is_refused() {
    let server = Running::echo(config(Framing::Raw));
    let second = Config { address: server.address, ..config(Framing::Raw) };
    let error = Server::bind(second, Echo::default()).expect_err("the port is in use");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn ipv6_is_served() {
    let address = "[::1]:0".parse().expect("an address");
    let server = Running::echo(Config { address, ..config(Framing::Raw) });
    assert_eq!(round_trip(server.connect(), b"six".to_vec()), b"six");
}
