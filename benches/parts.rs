//! Measures the parts: framing, the slab, mail between threads, the client's histogram, and a
//! round trip over loopback.

// The mailbox is not public, so it is included as a file, with what it imports.
#[allow(dead_code, unused_imports)]
#[path = "../src/net/mailbox.rs"]
mod mailbox;
#[path = "../src/net/sync.rs"]
mod sync;
mod poll {
    pub(crate) use reactor_server::parts::{Events, Interest, Poll};
}
mod sys {
    use rustix::event::{EventfdFlags, eventfd as new};

    pub(crate) fn eventfd() -> std::io::Result<std::fs::File> {
        Ok(std::fs::File::from(new(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }
}
mod token {
    pub(crate) use reactor_server::parts::Token;
}

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hdrhistogram::Histogram;
use reactor_server::parts::{Codec, Events, Slab};
use reactor_server::{Config, Echo, Framing, Server};

fn framing(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode 64 KiB of 24-byte messages");
    group.throughput(Throughput::Bytes(64 * 1024));
    for (name, framing) in [("len32", Framing::Len32), ("line", Framing::line())] {
        let codec = Codec::new(framing, 1024);
        let mut stream = Vec::new();
        while stream.len() < 64 * 1024 {
            codec.encode(&[&[b'x'; 24]], &mut stream);
        }
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut rest = black_box(&stream[..]);
                while let Ok(Some(frame)) = codec.decode(rest, 0) {
                    rest = &rest[frame.length..];
                }
                rest.len()
            });
        });
    }
}

fn slab(c: &mut Criterion) {
    let mut slab = Slab::default();
    let tokens: Vec<_> = (0..10_000).map(|value| slab.insert(value)).collect();
    let mut next = 0;
    c.bench_function("look up one of 10,000", |bencher| {
        bencher.iter(|| {
            next = (next + 7919) % tokens.len();
            slab.get_mut(black_box(tokens[next])).copied()
        });
    });
}

fn mail(c: &mut Criterion) {
    let (event_loop, mailbox) = mailbox::EventLoop::new().expect("an event loop");
    let mut events = Events::with_capacity(8);
    let mut group = c.benchmark_group("messages to a thread, and one wake-up");
    for count in [1, 16] {
        group.throughput(Throughput::Elements(count));
        group.bench_function(count.to_string(), |bencher| {
            bencher.iter(|| {
                // After a wait without result the loop counts as asleep until it acknowledges,
                // so that the first message wakes it.
                event_loop.wait(&mut events, Some(Duration::ZERO)).expect("a wait");
                (0..count).for_each(|message| mailbox.send(black_box(message)));
                event_loop.wait(&mut events, None).expect("a wait");
                (0..event_loop.inbox.acknowledge())
                    .map_while(|_| event_loop.inbox.take())
                    .sum::<u64>()
            });
        });
    }
}

/// The load client's: up to an hour in nanoseconds, with three significant digits.
fn histogram(c: &mut Criterion) {
    let mut latency = Histogram::<u64>::new_with_bounds(1, 3_600_000_000_000, 3).expect("bounds");
    let mut value = 1;
    c.bench_function("record a latency", |bencher| {
        bencher.iter(|| {
            // From 20 us on, spread over half a millisecond.
            value = (value * 7919) % 500_009;
            latency.saturating_record(black_box(20_000 + value));
        });
    });
}

fn round_trip(c: &mut Criterion) {
    for workers in [0, 1] {
        let config = Config { io_threads: 1, workers, ..Config::default() };
        let server = Server::bind(config, Echo::default()).expect("a server");
        let (address, handle) = (server.local_addr(), server.handle());
        let thread = std::thread::spawn(|| server.run());
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        c.bench_function(&format!("round trip of 24 bytes, {workers} workers"), |bencher| {
            bencher.iter(|| {
                stream.write_all(&[b'x'; 24]).expect("sent");
                stream.read_exact(&mut [0; 24]).expect("a reply");
            });
        });
        handle.stop();
        thread.join().expect("no panic").expect("no error");
    }
}

criterion_group!(parts, framing, slab, mail, histogram, round_trip);
criterion_main!(parts);
