//! What the parts cost: framing, the slab, and a round trip over loopback.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use reactor_server::{Codec, Config, Echo, Framing, Server, Slab};

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
    c.bench_function("look one of 10,000 up", |bencher| {
        bencher.iter(|| {
            next = (next + 7919) % tokens.len();
            slab.get_mut(black_box(tokens[next])).copied()
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
        c.bench_function(&format!("24 bytes there and back, {workers} workers"), |bencher| {
            bencher.iter(|| {
                stream.write_all(&[b'x'; 24]).expect("sent");
                stream.read_exact(&mut [0; 24]).expect("a reply");
            });
        });
        handle.stop();
        thread.join().expect("no panic").expect("no error");
    }
}

criterion_group!(parts, framing, slab, round_trip);
criterion_main!(parts);
