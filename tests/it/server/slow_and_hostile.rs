//! No peer can stop, starve or bloat the server.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use reactor_server::{Config, Framing, Reason, Timeouts};
use socket2::{Domain, Socket, Type};

use crate::support::eventually;
use crate::support::running::{Running, config};
use crate::support::server::ServerProcess;
use crate::support::streams::{exchange, fill, frame, noise, read_to_end, reset};

const NEVER: Timeouts = Timeouts { message: None, write: None, idle: None };
const SOON: Option<Duration> = Some(Duration::from_millis(100));

/// A connection whose receive buffer is soon full.
fn connect_with_a_small_buffer(server: &Running) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(32 * 1024).expect("a small buffer");
    socket.connect(&server.address.into()).expect("a connection");
    socket.into()
}

/// Fails if the server has closed a connection.
fn must_be_open(server: &Running) -> io::Result<()> {
    match server.handle.stats().closed() {
        0 => Ok(()),
        _ => Err(ErrorKind::NotConnected.into()),
    }
}

/// How regularly a test does what keeps its peer from being closed.
struct Pace {
    last: Instant,
    longest: Duration,
}

impl Pace {
    fn step(&mut self) {
        self.longest = self.longest.max(self.last.elapsed());
        self.last = Instant::now();
    }
}

/// Repeats an attempt that failed if the test itself paused for half the deadline between two
/// steps: its peer was as slow then as one that must be closed.
fn unless_the_test_pauses(deadline: Duration, attempt: impl Fn(&mut Pace) -> io::Result<()>) {
    eventually("the test does not pause", || {
        let mut pace = Pace { last: Instant::now(), longest: Duration::ZERO };
        let outcome = attempt(&mut pace);
        pace.step();
        let longest = pace.longest;
        assert!(outcome.is_ok() || longest >= deadline / 2, "{outcome:?}, paused {longest:?}");
        outcome.is_ok()
    });
}

#[test]
fn a_peer_that_never_reads_is_not_read_from_and_loses_nothing() {
    let server = Running::echo(Config { timeouts: NEVER, ..config(Framing::Raw) });
    let mut stream = server.connect();
    let sent = fill(&mut stream);
    server.wait_until("little is held for one connection", |stats| {
        // Read in this order, or what is sent in between would be missing in the difference.
        let sent = stats.sum(|reactor| &reactor.sent);
        stats.sum(|reactor| &reactor.received) <= sent + 64 * 1024
    });
    stream.shutdown(Shutdown::Write).expect("half-closed");
    let chunk = noise(1 << 20);
    let expected: Vec<u8> = chunk.iter().copied().cycle().take(sent).collect();
    assert!(read_to_end(&mut stream) == expected);
}

#[test]
fn a_peer_that_never_reads_is_reset_at_the_write_deadline_and_others_go_on() {
    let timeouts = Timeouts { write: SOON, ..NEVER };
    let server = Running::echo(Config { timeouts, io_threads: 1, ..config(Framing::Raw) });
    let (greedy, honest) = (server.connect(), server.connect());
    greedy.set_nonblocking(true).expect("non-blocking");
    let chunk = noise(1 << 20);
    server.wait_until("the write deadline", |stats| {
        let _ = greedy.try_clone().expect("a handle").write(&chunk);
        exchange(&mut honest.try_clone().expect("a handle"), b"ping");
        stats.closed_for(Reason::WriteTimeout) == 1
    });
    assert_eq!(server.handle.stats().sum(|reactor| &reactor.resets), 1);
}

#[test]
fn a_slow_but_honest_reader_is_not_evicted() {
    let deadline = Duration::from_secs(1);
    let timeouts = Timeouts { write: Some(deadline), ..NEVER };
    unless_the_test_pauses(deadline, |pace| {
        let server = Running::echo(Config { timeouts, ..config(Framing::Raw) });
        let mut stream = connect_with_a_small_buffer(&server);
        let mut writer = stream.try_clone().expect("a second handle");
        thread::spawn(move || while writer.write_all(&noise(1 << 20)).is_ok() {});
        // For more than two deadlines it reads so little that the server's kernel, whose
        // buffer stays nearly full, never asks for more.
        let (began, mut read) = (Instant::now(), Vec::new());
        while began.elapsed() < deadline * 5 / 2 {
            thread::sleep(Duration::from_millis(20));
            let mut some = [0; 4000];
            let count = stream.read(&mut some)?;
            pace.step();
            read.extend_from_slice(&some[..count]);
        }
        assert!(read == noise(1 << 20)[..read.len()]);
        must_be_open(&server)
    });
}

#[test]
fn an_unfinished_message_is_closed_at_its_deadline_and_an_idle_peer_is_not() {
    const PEERS: usize = 20;
    let deadline = Duration::from_millis(300);
    let timeouts = Timeouts { message: Some(deadline), ..NEVER };
    for workers in [0, 1] {
        let server = Running::echo(Config { timeouts, workers, ..config(Framing::Len32) });
        let mut idle: Vec<_> = (0..PEERS).map(|_| server.connect()).collect();
        // Half of them sent something before.
        idle.iter_mut().step_by(2).for_each(|stream| exchange(stream, &frame(b"hello")));
        let began = Instant::now();
        let mut slow: Vec<_> = (0..PEERS).map(|_| server.connect()).collect();
        for stream in &mut slow {
            stream.write_all(&1_000_000u32.to_le_bytes()).expect("sent");
        }
        server.wait_until("the deadlines", |stats| {
            slow.iter_mut().for_each(|stream| drop(stream.write(b"x")));
            let closed = stats.closed_for(Reason::FrameTimeout);
            assert!(closed == 0 || began.elapsed() >= deadline, "too early");
            closed == PEERS as u64
        });
        idle.iter_mut().for_each(|stream| exchange(stream, &frame(b"here I am")));
        assert_eq!(server.handle.stats().closed(), PEERS as u64);
    }
}

#[test]
fn the_message_deadline_restarts_with_each_message() {
    let deadline = Duration::from_millis(300);
    let timeouts = Timeouts { message: Some(deadline), ..NEVER };
    unless_the_test_pauses(deadline, |pace| {
        let server = Running::echo(Config { timeouts, ..config(Framing::Len32) });
        let mut stream = server.connect();
        let (began, message) = (Instant::now(), frame(b"message"));
        // There is nearly always an incomplete message, but never the same one for long.
        while began.elapsed() < 3 * deadline {
            for byte in message.chunks(1) {
                stream.write_all(byte)?;
                thread::sleep(Duration::from_millis(1));
            }
            stream.read_exact(&mut vec![0; message.len()])?;
            pace.step();
        }
        Ok(())
    });
}

#[test]
fn an_idle_peer_is_closed_and_a_busy_one_is_not() {
    let deadline = Duration::from_millis(300);
    let timeouts = Timeouts { idle: Some(deadline), ..NEVER };
    unless_the_test_pauses(deadline, |pace| {
        let server = Running::echo(Config { timeouts, ..config(Framing::Raw) });
        let (idle, mut busy) = (server.connect(), server.connect());
        let end_of_idle = thread::spawn(move || read_to_end(&mut { idle }));
        while !end_of_idle.is_finished() {
            busy.write_all(b"tick")?;
            busy.read_exact(&mut [0; 4])?;
            pace.step();
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(end_of_idle.join().expect("a FIN"), b"");
        server.wait_until("it is counted", |stats| stats.closed_for(Reason::IdleTimeout) > 0);
        busy.write_all(b"tock")?;
        busy.read_exact(&mut [0; 4])
    });
}

#[test]
fn a_peer_that_is_reading_its_reply_is_not_idle() {
    let deadline = Duration::from_millis(500);
    let timeouts = Timeouts { idle: Some(deadline), ..NEVER };
    unless_the_test_pauses(deadline, |pace| {
        let server = Running::echo(Config { timeouts, ..config(Framing::Raw) });
        let mut stream = connect_with_a_small_buffer(&server);
        // The server's kernel takes this much at once, so the server has nothing left to do
        // while the peer reads slowly.
        stream.write_all(&noise(600_000))?;
        let began = Instant::now();
        while began.elapsed() < 3 * deadline {
            // More than the buffer of the peer, so that the server's kernel sends meanwhile.
            stream.read_exact(&mut [0; 40_000])?;
            pace.step();
            thread::sleep(Duration::from_millis(120));
        }
        must_be_open(&server)
    });
}

#[test]
fn hostile_lengths_close_their_connection_and_no_other() {
    const MAX: u32 = 1000;
    for workers in [0, 1] {
        let config = Config { max_message: MAX as usize, workers, ..config(Framing::Len32) };
        let server = Running::echo(config);
        let mut bystander = server.connect();
        let hostile = [MAX + 1, i32::MAX as u32, 1 << 31, u32::MAX - 4, u32::MAX - 1, u32::MAX];
        for (length, piece) in hostile.iter().flat_map(|length| [(length, 4), (length, 1)]) {
            let mut stream = server.connect();
            stream.write_all(&frame(b"good")).expect("sent");
            for bytes in length.to_le_bytes().chunks(piece) {
                stream.write_all(bytes).expect("sent");
            }
            assert_eq!(read_to_end(&mut stream), frame(b"good"), "{length}");
            drop(stream);
            exchange(&mut bystander, &frame(b"unharmed"));
        }
        for length in [0, 1, MAX] {
            let mut stream = server.connect();
            exchange(&mut stream, &frame(&noise(length as usize)));
        }
        server.wait_until("a count of each", |stats| {
            stats.closed_for(Reason::TooLong) == 2 * hostile.len() as u64
        });
    }
}

#[test]
fn announced_lengths_reserve_no_memory() {
    const PEERS: u64 = 100;
    /// What is held for each of them, and beside that for all.
    const EACH: u64 = 1 << 10;
    const ALL: u64 = 2 << 20;
    let server = ServerProcess::start(&["--framing", "len32", "--max-message", "2g", "-t", "1"]);
    exchange(&mut server.connect(), &frame(b"hello"));
    let reserved = || 1024 * server.process().status().expect("it runs").vmdata.expect("a size");
    let before = reserved();
    let announce = |number: u64| {
        let mut stream = server.connect();
        let length = (1_u32 << 31) - number as u32 % 2;
        stream.write_all(&length.to_le_bytes()).expect("sent");
        stream
    };
    let _peers: Vec<_> = (0..PEERS).map(announce).collect();
    let read = format!("{}B", 9 + 4 * PEERS);
    eventually("all lengths are read", || server.counter("in") == read);
    let more = reserved().saturating_sub(before);
    assert!(more <= PEERS * EACH + ALL, "{more} bytes for {PEERS} peers");
}

#[test]
fn a_peer_that_keeps_sending_after_a_protocol_error_is_closed() {
    let server = Running::echo(config(Framing::Len32));
    let mut stream = server.connect();
    stream.write_all(&u32::MAX.to_le_bytes()).expect("sent");
    server.wait_until("the end of its time", |stats| {
        let _ = stream.write(&[0; 1000]);
        stats.closed_for(Reason::TooLong) == 1
    });
}

#[test]
fn a_silent_peer_after_a_protocol_error_is_closed() {
    let server = Running::echo(Config { timeouts: NEVER, ..config(Framing::Len32) });
    let mut silent = server.connect();
    silent.write_all(&u32::MAX.to_le_bytes()).expect("sent");
    server.wait_until("its close", |stats| stats.closed_for(Reason::TooLong) == 1);
}

#[test]
fn a_truncated_message_is_counted_apart_from_eof() {
    let server = Running::echo(config(Framing::Len32));
    for cut in [&frame(b"whole message")[..9], &[7], &[1, 2, 3]] {
        let mut stream = server.connect();
        stream.write_all(&frame(b"good")).expect("sent");
        stream.write_all(cut).expect("sent");
        stream.shutdown(Shutdown::Write).expect("half-closed");
        assert_eq!(read_to_end(&mut stream), frame(b"good"));
    }
    server.wait_until("three of them", |stats| stats.closed_for(Reason::Truncated) == 3);
}

#[test]
fn resets_leave_nothing_behind() {
    for workers in [0, 2] {
        let server = Running::echo(Config { workers, ..config(Framing::Raw) });
        for round in 0..500 {
            let mut stream = server.connect();
            stream.write_all(&noise(100 << (round % 10))).expect("sent");
            reset(stream);
        }
        server.wait_until("all to be closed", |stats| stats.closed() == 500);
        exchange(&mut server.connect(), b"alive");
    }
}

#[test]
fn connections_beyond_the_limit_wait_for_a_seat() {
    let server = Running::echo(Config { max_connections: Some(2), ..config(Framing::Raw) });
    let seated = [server.connect(), server.connect()];
    let mut waiting = server.connect();
    waiting.write_all(b"anyone?").expect("the kernel keeps it");
    server.wait_until("the pause", |stats| stats.acceptor.full.get() == 1);
    assert_eq!(server.handle.stats().acceptor.accepted.get(), 2);
    drop(seated);
    let mut reply = [0; 7];
    waiting.read_exact(&mut reply).expect("a seat and a reply");
    assert_eq!(&reply, b"anyone?");
}

#[test]
fn a_fire_hose_does_not_starve_its_neighbours() {
    let server = Running::echo(Config { io_threads: 1, ..config(Framing::Raw) });
    let hose = server.connect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let (mut writer, mut reader, done) = (&hose, &hose, &done);
        scope.spawn(move || while reader.read(&mut [0; 65536]).is_ok_and(|count| count > 0) {});
        scope.spawn(move || {
            let chunk = noise(1 << 20);
            while !done.load(Relaxed) {
                writer.write_all(&chunk).expect("sent");
            }
            writer.shutdown(Shutdown::Write).expect("half-closed");
        });
        let mut stream = server.connect();
        for _ in 0..1000 {
            exchange(&mut stream, b"ping");
        }
        done.store(true, Relaxed);
    });
}
