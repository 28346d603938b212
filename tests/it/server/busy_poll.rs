//! How threads wait: they busy-poll while it pays, and block otherwise.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use reactor_server::program::cpu::time_of_process;
use reactor_server::{Config, Framing, Timeouts};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::support::running::{Running, config};
use crate::support::server::ServerProcess;
use crate::support::streams::{connect, exchange};
use crate::support::{PATIENCE, eventually};

/// Sends messages one by one, and reads every reply.
fn talk(address: SocketAddr, messages: usize) {
    let mut stream = connect(address);
    for number in 0..messages {
        exchange(&mut stream, format!("message {number:08}").as_bytes());
    }
}

#[test]
fn busy_polling_threads_answer_every_message() {
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
fn busy_polling_without_result_stops() {
    const BUSY_POLL: Duration = Duration::from_millis(20);
    let server = ServerProcess::start(&["-t", "1", "--busy-poll", "20ms"]);
    let used = || time_of_process(server.id() as i32).expect("its processor time");
    let mut stream = server.connect();
    // Each message arrives after the server has polled without result.
    let mut exchange_slowly = || {
        let before = used();
        for _ in 0..10 {
            exchange(&mut stream, b"late");
            thread::sleep(2 * BUSY_POLL);
        }
        used() - before
    };
    eventually("it blocks between messages", || exchange_slowly() < BUSY_POLL);
}

#[test]
fn busy_polling_does_not_delay_a_deadline() {
    let timeouts = Timeouts { idle: Some(Duration::from_millis(50)), ..Config::default().timeouts };
    let busy_poll = Some(10 * PATIENCE);
    let server = Running::echo(Config { busy_poll, timeouts, ..config(Framing::Raw) });
    assert_eq!(server.connect().read(&mut [0]).expect("an end"), 0);
}

/// Two CPUs that this process may use.
fn two_cpus() -> Option<[usize; 2]> {
    let usable = sched_getaffinity(None).expect("the CPUs");
    let mut cpus = (0..CpuSet::MAX_CPU).filter(|&cpu| usable.is_set(cpu));
    Some([cpus.next()?, cpus.next()?])
}

/// Pins the calling thread, and the threads that it starts from now on, to a CPU.
fn pin_to(cpu: usize) {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    sched_setaffinity(None, &cpus).expect("a CPU that may be used");
}

/// Exchanges messages until `enough` is true, counts them, and keeps its CPU busy after each.
fn exchange_and_compute(mut stream: TcpStream, messages: &AtomicUsize, enough: impl Fn() -> bool) {
    const COMPUTE: Duration = Duration::from_micros(200);
    while !enough() {
        exchange(&mut stream, b"computed");
        messages.fetch_add(1, Relaxed);
        let start = Instant::now();
        while start.elapsed() < COMPUTE {}
    }
}

#[test]
fn a_client_busy_on_the_cpu_of_its_reactor_does_not_delay_others() {
    const PINGS: usize = 500;
    let Some([one, other]) = two_cpus() else {
        return println!("skipped: needs two CPUs");
    };
    let messages = &AtomicUsize::new(0);
    let mut during_pings = thread::scope(|scope| {
        let computing = scope.spawn(move || {
            pin_to(one);
            let server = Running::echo(Config { io_threads: 1, ..config(Framing::Raw) });
            let mut pinger = server.connect();
            let pinging = scope.spawn(move || {
                pin_to(other);
                let ping = |_| {
                    let before = messages.load(Relaxed);
                    exchange(&mut pinger, b"ping");
                    messages.load(Relaxed) - before
                };
                (0..PINGS).map(ping).collect::<Vec<_>>()
            });
            exchange_and_compute(server.connect(), messages, || pinging.is_finished());
            pinging.join().expect("no panic")
        });
        computing.join().expect("no panic")
    });
    // The median, because the machine may pause during some pings.
    during_pings.sort_unstable();
    assert!(during_pings[PINGS / 2] < 4, "messages during each ping: {during_pings:?}");
}
