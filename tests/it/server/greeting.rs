//! A server speaks first, and its handler closes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::support::running::{Running, config};
use crate::support::streams::{read_to_end, round_trip};
use reactor_server::{Config, ConnectionId, Framing, Handler, Reason, Reply};

/// Greets, answers each line with itself, and closes at the line `quit`.
struct Polite;

impl Handler for Polite {
    type Session = ();

    fn opened(&self, _: ConnectionId, peer: SocketAddr, reply: &mut Reply<'_>) {
        reply.send(&[b"welcome, ", peer.to_string().as_bytes()]);
        // There is no message yet.
        reply.echo();
    }

    fn message(&self, _: &mut (), message: &[u8], reply: &mut Reply<'_>) {
        if message == b"quit" {
            reply.close();
        }
        reply.send(&[message]);
    }
}

fn greeting(stream: &TcpStream) -> Vec<u8> {
    format!("welcome, {}\n", stream.local_addr().expect("an address")).into_bytes()
}

#[test]
fn the_server_speaks_first_and_before_all_replies() {
    for workers in [0, 2] {
        let server = Running::start(Config { workers, ..config(Framing::line()) }, Polite);
        // Without a word of its own.
        let mut silent = server.connect();
        let mut greeted = vec![0; greeting(&silent).len()];
        silent.read_exact(&mut greeted).expect("a greeting");
        assert_eq!(greeted, greeting(&silent));
        let talker = server.connect();
        let expected = [&greeting(&talker)[..], b"a\nb\n"].concat();
        assert_eq!(round_trip(talker, b"a\nb\n".to_vec()), expected, "{workers} workers");
    }
}

#[test]
fn a_reply_that_closes_is_sent_and_later_messages_are_not_handled() {
    for workers in [0, 2] {
        let server = Running::start(Config { workers, ..config(Framing::line()) }, Polite);
        let mut stream = server.connect();
        stream.write_all(b"a\nquit\nunheard\nunheard").expect("sent");
        let expected = [&greeting(&stream)[..], b"a\nquit\n"].concat();
        assert_eq!(read_to_end(&mut stream), expected, "{workers} workers");
        // What it still sends is read until its FIN, so nothing resets the connection.
        stream.write_all(b"unheard\n").expect("sent");
        drop(stream);
        server.wait_until("the close", |stats| stats.closed_for(Reason::Close) == 1);
        assert_eq!(server.handle.stats().sum(|reactor| &reactor.messages), 2);
    }
}

/// Turns its peers away.
struct Closed;

impl Handler for Closed {
    type Session = ();

    fn opened(&self, _: ConnectionId, _: SocketAddr, reply: &mut Reply<'_>) {
        reply.send(&[b"closed today"]);
        reply.close();
    }

    fn message(&self, _: &mut (), _: &[u8], reply: &mut Reply<'_>) {
        reply.send(&[b"never"]);
    }
}

#[test]
fn a_server_can_greet_and_close() {
    let server = Running::start(config(Framing::line()), Closed);
    for _ in 0..2 {
        let mut stream = server.connect();
        stream.write_all(b"hello\n").expect("sent");
        assert_eq!(read_to_end(&mut stream), b"closed today\n");
    }
    server.wait_until("both closes", |stats| stats.closed_for(Reason::Close) == 2);
}

/// Panics when a connection opens.
struct Refusing;

impl Handler for Refusing {
    type Session = ();

    fn opened(&self, _: ConnectionId, _: SocketAddr, reply: &mut Reply<'_>) {
        reply.send(&[b"never sent"]);
        panic!("as it was asked to");
    }

    fn message(&self, _: &mut (), _: &[u8], _: &mut Reply<'_>) {}
}

#[test]
fn a_panic_as_a_connection_opens_closes_it_without_a_word() {
    let server = Running::start(config(Framing::line()), Refusing);
    for count in 1..4 {
        assert_eq!(read_to_end(&mut server.connect()), b"");
        server.wait_until("the close", |stats| stats.closed_for(Reason::Panic) == count);
    }
    assert_eq!(server.handle.stats().sum(|reactor| &reactor.panics), 3);
}
