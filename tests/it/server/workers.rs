//! With workers nothing is lost, nothing overtakes, and nothing stops.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use crate::support::{Running, config, frame, read_frame, read_to_end, round_trip};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use reactor_server::{Config, Echo, Framing, Handler, Reason, Reply};

/// Takes a different time for each message, so that workers overtake each other.
struct Uneven;

impl Handler for Uneven {
    type Session = ();

    fn opened(&self, _: SocketAddr) {}

    fn message(&self, _: &mut (), message: &[u8], reply: &mut Reply<'_>) {
        let sum: u32 = message.iter().map(|&byte| u32::from(byte)).sum();
        std::thread::sleep(Duration::from_micros(u64::from(sum % 7) * 50));
        reply.send(&[message]);
    }
}

#[test]
fn replies_come_in_order_from_any_number_of_workers() {
    let server = Running::start(Config { workers: 8, ..config(Framing::Len32) }, Uneven);
    let talk = |connection: u32| {
        let mut stream = server.connect();
        for batch in 0..20 {
            let message = |n: u32| format!("{connection} {batch} {n}").into_bytes();
            for n in 0..64 {
                stream.write_all(&frame(&message(n))).expect("sent");
            }
            for n in 0..64 {
                assert_eq!(read_frame(&mut stream), message(n));
            }
        }
    };
    std::thread::scope(|scope| {
        for connection in 0..8 {
            scope.spawn(move || talk(connection));
        }
    });
}

/// Says when a message has come to it and answers when it is let.
struct Gate {
    arrived: Sender<()>,
    open: Receiver<()>,
    closed: Sender<Reason>,
}

impl Handler for Gate {
    type Session = ();

    fn opened(&self, _: SocketAddr) {}

    fn message(&self, _: &mut (), message: &[u8], reply: &mut Reply<'_>) {
        self.arrived.send(()).expect("the test listens");
        // When the test is over nobody opens any more, and that will do.
        let _ = self.open.recv();
        reply.send(&[message]);
    }

    fn closed(&self, _: (), reason: Reason) {
        let _ = self.closed.send(reason);
    }
}

/// A gate, and the test's side of it: arrivals, the key, and the closes.
fn gate() -> (Gate, Receiver<()>, Sender<()>, Receiver<Reason>) {
    let (arrived, arrivals) = unbounded();
    let (key, open) = bounded(1000);
    let (closed, closes) = unbounded();
    (Gate { arrived, open, closed }, arrivals, key, closes)
}

#[test]
fn a_reply_for_a_connection_that_is_gone_reaches_nobody_else() {
    let (gate, arrivals, key, closes) = gate();
    let config = Config { workers: 1, io_threads: 1, ..config(Framing::Raw) };
    let server = Running::start(config, gate);
    let mut first = server.connect();
    first.write_all(b"secret").expect("sent");
    arrivals.recv().expect("the worker has it");
    let linger = socket2::SockRef::from(&first).set_linger(Some(Duration::ZERO));
    linger.expect("a reset on close");
    drop(first);
    server.wait_until("the reset", |stats| stats.closed_for(Reason::Reset) == 1);
    // The handler hears of it only when it has its session back.
    assert!(closes.is_empty());
    // The next one gets the same slot and the same descriptor.
    let mut second = server.connect();
    second.write_all(b"mine").expect("sent");
    key.send(()).expect("open");
    server.wait_until("the late reply", |stats| stats.sum(|reactor| &reactor.stale) == 1);
    assert_eq!(closes.recv(), Ok(Reason::Reset));
    key.send(()).expect("open");
    let mut reply = [0; 16];
    let count = second.read(&mut reply).expect("a reply");
    assert_eq!(&reply[..count], b"mine");
}

#[test]
fn workers_that_are_stuck_stop_nobody_else() {
    let (gate, arrivals, key, _closes) = gate();
    let config = Config { workers: 2, io_threads: 1, ..config(Framing::Raw) };
    let server = Running::start(config, gate);
    let mut stuck: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for stream in &mut stuck {
        stream.write_all(b"stuck").expect("sent");
        arrivals.recv().expect("a worker has it");
    }
    // The reactor still accepts, sees the end of a connection and closes it.
    drop(server.connect());
    server.wait_until("a close beside them", |stats| stats.closed_for(Reason::Eof) == 1);
    (0..2).for_each(|_| key.send(()).expect("open"));
    for stream in &mut stuck {
        let mut reply = [0; 5];
        stream.read_exact(&mut reply).expect("a reply in the end");
    }
}

#[test]
fn more_connections_than_jobs_wait_their_turn_and_are_all_served() {
    const CONNECTIONS: usize = 600;
    let (gate, arrivals, key, _closes) = gate();
    let config = Config { workers: 1, io_threads: 1, ..config(Framing::Raw) };
    let server = Running::start(config, gate);
    let mut streams: Vec<_> = (0..CONNECTIONS).map(|_| server.connect()).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.write_all(format!("{number:04}").as_bytes()).expect("sent");
    }
    arrivals.recv().expect("the worker has one");
    server.wait_until("the others are in line", |stats| {
        stats.sum(|reactor| &reactor.waits) == CONNECTIONS as u64 - 256
    });
    (0..CONNECTIONS).for_each(|_| key.send(()).expect("open"));
    for (number, stream) in streams.iter_mut().enumerate() {
        let mut reply = [0; 4];
        stream.read_exact(&mut reply).expect("a reply");
        assert_eq!(reply, format!("{number:04}").as_bytes());
    }
}

#[test]
fn work_takes_as_long_as_it_pretends_and_workers_share_it() {
    let echo = Echo { work: Duration::from_millis(20), ..Echo::default() };
    let server = Running::start(Config { workers: 8, ..config(Framing::Raw) }, echo);
    let began = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    assert_eq!(round_trip(server.connect(), b"work".to_vec()), b"work");
                }
            });
        }
    });
    // It cannot be faster than one connection's share.
    assert!(began.elapsed() >= Duration::from_millis(100));
}

/// Panics at every message that says so, and counts its sessions.
#[derive(Default)]
struct Panicky {
    sessions: Arc<AtomicUsize>,
}

impl Handler for Panicky {
    type Session = ();

    fn opened(&self, _: SocketAddr) {
        self.sessions.fetch_add(1, SeqCst);
    }

    fn message(&self, _: &mut (), message: &[u8], reply: &mut Reply<'_>) {
        assert_ne!(message, b"panic", "as it was asked to");
        reply.send(&[message]);
    }

    fn closed(&self, _: (), _: Reason) {
        self.sessions.fetch_sub(1, SeqCst);
    }
}

#[test]
fn a_panic_closes_its_connection_and_costs_no_thread() {
    for workers in [0, 2] {
        let sessions = Arc::new(AtomicUsize::new(0));
        let handler = Panicky { sessions: Arc::clone(&sessions) };
        let server = Running::start(Config { workers, ..config(Framing::Len32) }, handler);
        let mut bystander = server.connect();
        for _ in 0..100 {
            let mut stream = server.connect();
            let bytes = [frame(b"before"), frame(b"panic"), frame(b"after")].concat();
            stream.write_all(&bytes).expect("sent");
            assert_eq!(read_to_end(&mut stream), frame(b"before"), "{workers} workers");
        }
        server.wait_until("100 panics", |stats| stats.sum(|reactor| &reactor.panics) == 100);
        bystander.write_all(&frame(b"still here?")).expect("sent");
        assert_eq!(read_frame(&mut bystander), b"still here?");
        drop(bystander);
        crate::support::eventually("all sessions are closed", || sessions.load(SeqCst) == 0);
    }
}
