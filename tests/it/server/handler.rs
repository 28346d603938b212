//! A handler is called as its trait promises: in order, and once.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use crate::support::running::{Running, config};
use crate::support::streams::{frame, read_to_end, round_trip};
use crossbeam_channel::{Sender, unbounded};
use reactor_server::{Config, ConnectionId, Framing, Handler, Reason, Reply};

#[derive(Debug, PartialEq, Eq)]
enum Call {
    Opened,
    Message(u32, Vec<u8>),
    Sent(u32),
    Closed(u32, Reason),
    Tick(usize),
}

/// Records its calls. A session is the number of messages so far.
struct Recorder(Sender<Call>);

impl Recorder {
    fn record(&self, call: Call) {
        // The test may be over.
        let _ = self.0.send(call);
    }
}

impl Handler for Recorder {
    type Session = u32;

    fn opened(&self, _: ConnectionId, _: SocketAddr, _: &mut Reply<'_>) -> u32 {
        self.record(Call::Opened);
        0
    }

    fn message(&self, messages: &mut u32, message: &[u8], reply: &mut Reply<'_>) {
        *messages += 1;
        self.record(Call::Message(*messages, message.to_vec()));
        // None to the first, one to the second, two to the third.
        (1..*messages).for_each(|_| reply.send(&[b"<", message, b">"]));
    }

    fn sent(&self, messages: &mut u32) {
        self.record(Call::Sent(*messages));
    }

    fn closed(&self, messages: u32, reason: Reason) {
        self.record(Call::Closed(messages, reason));
    }

    fn tick(&self, reactor: usize) {
        self.record(Call::Tick(reactor));
    }
}

#[test]
fn a_handler_is_called_in_order_from_opening_to_close() {
    for workers in [0, 2] {
        let (recorder, calls) = unbounded();
        let config = Config { workers, io_threads: 1, ..config(Framing::line()) };
        let server = Running::start(config, Recorder(recorder));
        assert_eq!(round_trip(server.connect(), b"a\nb\nc\n".to_vec()), b"<b>\n<c>\n<c>\n");
        server.wait_until("the close", |stats| stats.closed() == 1);
        let expected = [
            Call::Opened,
            Call::Message(1, b"a".to_vec()),
            Call::Message(2, b"b".to_vec()),
            Call::Message(3, b"c".to_vec()),
            Call::Sent(3),
            Call::Closed(3, Reason::Eof),
        ];
        assert!(calls.try_iter().eq(expected), "{workers} workers");
    }
}

#[test]
fn every_reactor_calls_tick() {
    let (recorder, calls) = unbounded();
    let tick = Some(Duration::from_millis(10));
    let _server = Running::start(Config { tick, ..config(Framing::Raw) }, Recorder(recorder));
    let mut ticks = [0; 2];
    while ticks.iter().any(|&ticks| ticks < 3) {
        match calls.recv_timeout(crate::support::PATIENCE) {
            Ok(Call::Tick(reactor)) => ticks[reactor] += 1,
            other => panic!("{other:?}"),
        }
    }
}

/// Answers each message with 100 times its length.
struct Verbose;

impl Handler for Verbose {
    type Session = ();

    fn opened(&self, _: ConnectionId, _: SocketAddr, _: &mut Reply<'_>) {}

    fn message(&self, _: &mut (), message: &[u8], reply: &mut Reply<'_>) {
        (0..100).for_each(|_| reply.send(&[message]));
    }
}

#[test]
fn replies_larger_than_their_requests_all_arrive() {
    for workers in [0, 2] {
        let config = Config { workers, ..config(Framing::line()) };
        let server = Running::start(config, Verbose);
        let question = b"0123456789abcde\n".repeat(20_000);
        let mut stream = server.connect();
        let mut writer = stream.try_clone().expect("a handle");
        let sender = std::thread::spawn(move || {
            writer.write_all(&question).expect("sent");
            writer.shutdown(std::net::Shutdown::Write).expect("half-closed");
        });
        let answer = read_to_end(&mut stream);
        sender.join().expect("it sent all");
        assert_eq!(answer.len(), 20_000 * 100 * 16, "{workers} workers");
        assert!(answer.chunks(16).all(|line| line == b"0123456789abcde\n"));
    }
}

/// Answers each letter of a message: `e` with the message itself, `o` with other bytes.
struct Mixed;

impl Handler for Mixed {
    type Session = ();

    fn opened(&self, _: ConnectionId, _: SocketAddr, _: &mut Reply<'_>) {}

    fn message(&self, _: &mut (), message: &[u8], reply: &mut Reply<'_>) {
        for letter in message {
            match letter {
                b'e' => reply.echo(),
                b'o' => reply.send(&[b"own", message]),
                _ => {}
            }
        }
    }
}

#[test]
fn echoes_keep_their_place_among_other_replies() {
    let encode = |framing: &Framing, body: &[u8]| match framing {
        Framing::Len32 => frame(body),
        _ => [body, b"\n"].concat(),
    };
    let messages: Vec<&[u8]> = vec![b"e", b"e-", b"n", b"ee", b"o", b"e", b"oe", b"eo", b"e"];
    // First echoes alone, then everything that can stand between them.
    let order = (0..20_000).map(|number| messages[if number < 9_000 { 1 } else { number % 9 }]);
    let framings = [Framing::line(), Framing::Len32];
    for (framing, workers) in framings.iter().flat_map(|it| [(it.clone(), 0), (it.clone(), 2)]) {
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        for message in order.clone() {
            sent.extend(encode(&framing, message));
            for letter in message {
                match letter {
                    b'e' => expected.extend(encode(&framing, message)),
                    b'o' => expected.extend(encode(&framing, &[b"own", message].concat())),
                    _ => {}
                }
            }
        }
        let server = Running::start(Config { workers, ..config(framing) }, Mixed);
        assert!(round_trip(server.connect(), sent) == expected, "{workers} workers");
    }
}

/// Panics in the call that its peer's first message names.
struct Fragile;

impl Handler for Fragile {
    type Session = Vec<u8>;

    fn opened(&self, _: ConnectionId, _: SocketAddr, _: &mut Reply<'_>) -> Vec<u8> {
        Vec::new()
    }

    fn message(&self, name: &mut Vec<u8>, message: &[u8], reply: &mut Reply<'_>) {
        *name = message.to_vec();
        reply.send(&[message]);
    }

    fn sent(&self, name: &mut Vec<u8>) {
        assert_ne!(name, b"sent", "as it was asked to");
    }

    fn closed(&self, name: Vec<u8>, _: Reason) {
        assert_ne!(name, b"closed", "as it was asked to");
    }
}

#[test]
fn a_panic_anywhere_in_a_handler_ends_no_thread() {
    let server = Running::start(config(Framing::line()), Fragile);
    for name in [&b"sent"[..], b"closed"] {
        let mut stream = server.connect();
        stream.write_all(&[name, b"\n"].concat()).expect("sent");
        let mut reply = vec![0; name.len() + 1];
        stream.read_exact(&mut reply).expect("the reply before it");
    }
    server.wait_until("both panics", |stats| stats.sum(|reactor| &reactor.panics) == 2);
    for _ in 0..4 {
        assert_eq!(round_trip(server.connect(), b"alive\n".to_vec()), b"alive\n");
    }
}
