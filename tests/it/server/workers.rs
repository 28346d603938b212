//! With workers no reply is lost, none overtakes another, and nothing stops.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use reactor_server::{Config, ConnectionId, Echo, Framing, Handler, Reason, Reply, Timeouts};

use crate::support::eventually;
use crate::support::running::{Running, config};
use crate::support::server::ServerProcess;
use crate::support::streams::{exchange, frame, noise, read_frame, read_to_end, reset, round_trip};

/// Takes a different time for each message, so that workers overtake each other.
struct Uneven;

impl Handler for Uneven {
    type Session = ();

    fn opened(&self, _: ConnectionId, _: SocketAddr, _: &mut Reply<'_>) {}

    fn message(&self, _: &mut (), message: &[u8], reply: &mut Reply<'_>) {
        let sum: u32 = message.iter().map(|&byte| u32::from(byte)).sum();
        thread::sleep(Duration::from_micros(u64::from(sum % 7) * 50));
        reply.send(&[message]);
    }
}

#[test]
fn replies_come_in_order() {
    let server = Running::start(Config { workers: 8, ..config(Framing::Len32) }, Uneven);
    let talk = |connection: u32| {
        let mut stream = server.connect();
        for batch in 0..5 {
            let message = |n: u32| format!("{connection} {batch} {n}").into_bytes();
            for n in 0..64 {
                stream.write_all(&frame(&message(n))).expect("sent");
            }
            for n in 0..64 {
                assert_eq!(read_frame(&mut stream), message(n));
            }
        }
    };
    thread::scope(|scope| {
        for connection in 0..64 {
            scope.spawn(move || talk(connection));
        }
    });
}

/// Reports each message, and answers it once it gets a key. `MUCH` needs no key, and is
/// answered with more than all buffers hold.
struct Gate {
    arrived: Sender<()>,
    open: Receiver<()>,
    closed: Sender<Reason>,
}

const MUCH: &[u8] = b"much";

impl Handler for Gate {
    type Session = ();

    fn opened(&self, _: ConnectionId, _: SocketAddr, _: &mut Reply<'_>) {}

    fn message(&self, _: &mut (), message: &[u8], reply: &mut Reply<'_>) {
        if message == MUCH {
            return reply.send(&[&vec![0; 32 << 20]]);
        }
        self.arrived.send(()).expect("the test listens");
        // Once the test is over there are no more keys.
        let _ = self.open.recv();
        reply.send(&[message]);
    }

    fn closed(&self, _: (), reason: Reason) {
        let _ = self.closed.send(reason);
    }
}

/// A gate, and the test's side of it: arrivals, keys, and closes.
fn gate() -> (Gate, Receiver<()>, Sender<()>, Receiver<Reason>) {
    let ((arrived, arrivals), (key, open)) = (unbounded(), unbounded());
    let (closed, closes) = unbounded();
    (Gate { arrived, open, closed }, arrivals, key, closes)
}

#[test]
fn a_late_reply_reaches_no_other_connection() {
    let (gate, arrivals, key, closes) = gate();
    let config = Config { workers: 1, io_threads: 1, ..config(Framing::Raw) };
    let server = Running::start(config, gate);
    let mut first = server.connect();
    first.write_all(b"secret").expect("sent");
    arrivals.recv().expect("the worker has it");
    reset(first);
    server.wait_until("the reset", |stats| stats.closed_for(Reason::Reset) == 1);
    // `closed` is called once the session is back from the worker.
    assert!(closes.is_empty());
    // The next connection gets the same slot.
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

/// The descriptors of the connections that a server accepted, as its log has them.
fn accepted_descriptors(server: &ServerProcess) -> Vec<String> {
    let log = server.log();
    let lines = log.lines().filter_map(|line| line.split_once("new connection fd="));
    lines.filter_map(|(_, rest)| Some(rest.split_once(',')?.0.to_owned())).collect()
}

#[test]
fn a_late_reply_does_not_reach_the_next_connection_with_its_descriptor() {
    const WORK: Duration = Duration::from_millis(300);
    let flags = ["--io-threads", "1", "--workers", "1", "--work", "300ms"];
    for _ in 0..3 {
        let server = ServerProcess::start(&flags);
        // Once a connection is closed, the threads that start have closed their own files,
        // and no descriptor but those of connections changes hands.
        exchange(&mut server.connect(), b"warm");
        server.wait_for_log("reason=eof");
        let began = Instant::now();
        let mut first = server.connect();
        first.write_all(b"secret").expect("sent");
        eventually("the message is read", || server.counter("in") == "10B");
        reset(first);
        server.wait_for_log("reason=reset");
        let mut second = server.connect();
        eventually("the second connection", || accepted_descriptors(&server).len() == 3);
        let in_time = began.elapsed() < WORK;
        exchange(&mut second, b"mine");
        let (stale, descriptors) = (server.counter("stale"), accepted_descriptors(&server));
        if in_time {
            assert_eq!(stale, "1");
            assert_eq!(descriptors[1], descriptors[2]);
        }
        second.shutdown(std::net::Shutdown::Write).expect("half-closed");
        assert_eq!(read_to_end(&mut second), b"");
    }
}

#[test]
fn stuck_workers_delay_nothing_else() {
    const VISITORS: u64 = 50;
    let second = Some(Duration::from_secs(1));
    let timeouts = Timeouts { message: second, write: second, idle: None };
    let (gate, arrivals, key, _closes) = gate();
    let config = Config { workers: 2, io_threads: 1, timeouts, ..config(Framing::Len32) };
    let server = Running::start(config, gate);
    let connect_and_send = |bytes: &[u8]| {
        let mut stream = server.connect();
        stream.write_all(bytes).expect("sent");
        stream
    };
    let _greedy = connect_and_send(&frame(MUCH));
    server.wait_until("the long reply", |stats| stats.sum(|reactor| &reactor.messages) == 1);
    let mut stuck = [&frame(b"stuck"); 2].map(|message| connect_and_send(message));
    stuck.iter().for_each(|_| arrivals.recv().expect("a worker has it"));
    let mut waiting = connect_and_send(&frame(b"waiting"));
    // The reactor still accepts, notices closes, and keeps both deadlines.
    let _unfinished = connect_and_send(&[9, 0]);
    (0..VISITORS).for_each(|_| drop(server.connect()));
    server.wait_until("all closes", |stats| {
        let closed = |reason| stats.closed_for(reason);
        closed(Reason::Eof) == VISITORS
            && (closed(Reason::FrameTimeout), closed(Reason::WriteTimeout)) == (1, 1)
    });
    assert_eq!(server.handle.stats().sum(|reactor| &reactor.messages), 1, "none was handled");
    (0..3).for_each(|_| key.send(()).expect("open"));
    for stream in &mut stuck {
        assert_eq!(read_frame(stream), b"stuck");
    }
    assert_eq!(read_frame(&mut waiting), b"waiting");
}

#[test]
fn more_connections_than_jobs_are_all_served() {
    const CONNECTIONS: usize = 600;
    let (gate, arrivals, key, _closes) = gate();
    let config = Config { workers: 1, io_threads: 1, ..config(Framing::Raw) };
    let server = Running::start(config, gate);
    let mut streams: Vec<_> = (0..CONNECTIONS).map(|_| server.connect()).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.write_all(format!("{number:04}").as_bytes()).expect("sent");
    }
    arrivals.recv().expect("the worker has one");
    server.wait_until("the others wait", |stats| {
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
fn pretended_work_takes_its_time() {
    let echo = Echo { work: Duration::from_millis(20), ..Echo::default() };
    let server = Running::start(Config { workers: 8, ..config(Framing::Raw) }, echo);
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    assert_eq!(round_trip(server.connect(), b"work".to_vec()), b"work");
                }
            });
        }
    });
    // One connection cannot be faster than its share.
    assert!(began.elapsed() >= Duration::from_millis(100));
}

#[test]
fn overloaded_workers_bound_what_connections_hold() {
    // On a busy machine the clients or the reactor may be slower than work that is short.
    let is_overloaded = ["100us", "400us"].into_iter().any(jobs_have_to_wait);
    assert!(is_overloaded, "the workers are never overloaded");
}

/// Asserts what many connections hold at most while messages take this long, and returns
/// whether some had to wait for a job.
fn jobs_have_to_wait(work: &str) -> bool {
    const CONNECTIONS: u64 = 300;
    /// The most jobs of a reactor.
    const JOBS: u64 = 256;
    /// What a connection or a job may hold: one read, and its replies.
    const HELD: u64 = 128 * 1024;
    let flags = ["--framing", "len32", "--io-threads", "1", "--workers", "8", "--work", work];
    let server = ServerProcess::start(&flags);
    let resident = || server.process().statm().expect("it runs").resident * procfs::page_size();
    let before = resident();
    let bytes = frame(&noise(2_000)).repeat(200);
    let most = thread::scope(|scope| {
        let round_trips: Vec<_> = (0..CONNECTIONS)
            .map(|_| scope.spawn(|| assert!(round_trip(server.connect(), bytes.clone()) == bytes)))
            .collect();
        let mut most = 0;
        eventually("all replies", || {
            most = most.max(resident());
            round_trips.iter().all(|thread| thread.is_finished())
        });
        most
    });
    let more = most.saturating_sub(before);
    assert!(more <= (CONNECTIONS + JOBS) * HELD, "{more} bytes for {CONNECTIONS} connections");
    server.counter("job-waits") != "0"
}

/// Panics at each message `panic`, and counts its sessions.
#[derive(Default)]
struct Panicky {
    sessions: Arc<AtomicUsize>,
    /// How many messages `meet` must be handled at the same time.
    parties: usize,
    met: AtomicUsize,
}

impl Handler for Panicky {
    type Session = ();

    fn opened(&self, _: ConnectionId, _: SocketAddr, _: &mut Reply<'_>) {
        self.sessions.fetch_add(1, SeqCst);
    }

    fn message(&self, _: &mut (), message: &[u8], reply: &mut Reply<'_>) {
        assert_ne!(message, b"panic", "as it was asked to");
        if message == b"meet" {
            let all = (self.met.fetch_add(1, SeqCst) / self.parties + 1) * self.parties;
            eventually("all threads handle a message", || self.met.load(SeqCst) >= all);
        }
        reply.send(&[message]);
    }

    fn closed(&self, _: (), _: Reason) {
        self.sessions.fetch_sub(1, SeqCst);
    }
}

/// Keeps that many threads busy at the same time, which needs that many.
fn meet(server: &Running, parties: usize) {
    let mut streams: Vec<_> = (0..parties).map(|_| server.connect()).collect();
    for stream in &mut streams {
        stream.write_all(&frame(b"meet")).expect("sent");
    }
    for stream in &mut streams {
        assert_eq!(read_frame(stream), b"meet");
    }
}

#[test]
fn a_panic_closes_its_connection_and_ends_no_thread() {
    for workers in [0, 4] {
        let (sessions, met) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
        let parties = if workers == 0 { 2 } else { workers };
        let handler = Panicky { sessions: Arc::clone(&sessions), parties, met };
        let server = Running::start(Config { workers, ..config(Framing::Len32) }, handler);
        meet(&server, parties);
        let mut bystander = server.connect();
        for _ in 0..100 {
            let mut stream = server.connect();
            let bytes = [frame(b"before"), frame(b"panic"), frame(b"after")].concat();
            stream.write_all(&bytes).expect("sent");
            assert_eq!(read_to_end(&mut stream), frame(b"before"), "{workers} workers");
        }
        server.wait_until("100 closes", |stats| stats.closed_for(Reason::Panic) == 100);
        assert_eq!(server.handle.stats().sum(|reactor| &reactor.panics), 100);
        meet(&server, parties);
        exchange(&mut bystander, &frame(b"still here?"));
        drop(bystander);
        eventually("all sessions are closed", || sessions.load(SeqCst) == 0);
    }
}
