//! How threads wait: they stay awake for a moment where that pays, and sleep where not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::server::Program;
use crate::support::{PATIENCE, Running, config, eventually};
use reactor_server::program::cpu::time_of_process;
use reactor_server::{Config, Framing, Timeouts};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Sends a message, and reads its reply.
fn exchange(stream: &mut TcpStream, message: &[u8]) {
    stream.write_all(message).expect("sent");
    let mut reply = vec![0; message.len()];
    stream.read_exact(&mut reply).expect("a reply");
    assert_eq!(reply, message);
}

/// Sends so many messages one by one, and reads every reply.
fn talk(address: SocketAddr, messages: usize) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    for number in 0..messages {
        exchange(&mut stream, format!("message {number:08}").as_bytes());
    }
}

#[test]
fn whoever_spins_answers_all_the_same_with_workers_too() {
    for workers in [0, 1, 4] {
        let busy_poll = Some(Duration::from_millis(1));
        let server = Running::echo(Config { busy_poll, workers, ..config(Framing::Raw) });
        thread::scope(|scope| {
            (0..8).for_each(|_| drop(scope.spawn(|| talk(server.address, 2000))))
        });
        server.wait_until("all messages", |stats| stats.sum(|reactor| &reactor.messages) == 16_000);
    }
}

#[test]
fn who_has_spun_in_vain_a_few_times_sleeps() {
    const SPUN: Duration = Duration::from_millis(20);
    let server = Program::start_with(&["--busy-poll", "20ms"]);
    let used = || time_of_process(server.id() as i32).expect("its processor time");
    let mut stream = TcpStream::connect(server.address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // Each message comes after it has looked for all that time.
    let mut talk_slowly = || {
        let before = used();
        for _ in 0..10 {
            exchange(&mut stream, b"late");
            thread::sleep(2 * SPUN);
        }
        used() - before
    };
    eventually("it sleeps in between", || talk_slowly() < SPUN);
}

#[test]
fn a_deadline_comes_in_time_however_long_its_thread_would_look() {
    let timeouts = Timeouts { idle: Some(Duration::from_millis(50)), ..Config::default().timeouts };
    let busy_poll = Some(10 * PATIENCE);
    let server = Running::echo(Config { busy_poll, timeouts, ..config(Framing::Raw) });
    assert_eq!(server.connect().read(&mut [0]).expect("an end"), 0);
}

/// Has the calling thread, and all that it starts from now on, run on that CPU alone.
fn stay_on(cpu: usize) {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    sched_setaffinity(None, &cpus).expect("a CPU that may be used");
}

/// Says one message after the other, and keeps its CPU busy in between, until it is told
/// that there were enough. Counts them.
fn think_and_talk(mut stream: TcpStream, said: &AtomicUsize, are_enough: impl Fn() -> bool) {
    const THOUGHT: Duration = Duration::from_micros(200);
    while !are_enough() {
        exchange(&mut stream, b"thought");
        said.fetch_add(1, Relaxed);
        let start = Instant::now();
        while start.elapsed() < THOUGHT {}
    }
}

#[test]
fn who_thinks_on_the_cpu_of_its_reactor_does_not_keep_the_others_waiting() {
    const PINGS: usize = 500;
    if thread::available_parallelism().expect("the CPUs").get() < 2 {
        return println!("skipped: needs two CPUs");
    }
    let (thoughts, pings) = &(AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            stay_on(0);
            let server = Running::echo(Config { io_threads: 1, ..config(Framing::Raw) });
            let mut pinger = server.connect();
            scope.spawn(move || {
                stay_on(1);
                while pings.load(Relaxed) < PINGS {
                    exchange(&mut pinger, b"ping");
                    pings.fetch_add(1, Relaxed);
                }
            });
            think_and_talk(server.connect(), thoughts, || pings.load(Relaxed) >= PINGS);
        });
    });
    let thoughts = thoughts.load(Relaxed);
    assert!(thoughts < 4 * PINGS, "{thoughts} thoughts beside {PINGS} pings");
}
