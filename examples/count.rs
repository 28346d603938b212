//! A server with its own handler: it answers each line with the number of lines that the
//! connection has sent, and prints the totals when the connection closes.
//!
//! ```console
//! $ cargo run --example count
//! listening on 127.0.0.1:40215
//! $ printf 'a\nbc\n' | nc -N 127.0.0.1 40215
//! line 1 has 1 bytes
//! line 2 has 2 bytes
//! ```

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use reactor_server::{Config, ConnectionId, Framing, Handler, Reason, Reply, Server};

/// Counts lines.
struct Count;

/// What it stores per connection.
struct Counted {
    peer: SocketAddr,
    lines: u64,
    bytes: usize,
}

impl Handler for Count {
    type Session = Counted;

    fn opened(&self, _: ConnectionId, peer: SocketAddr, _: &mut Reply<'_>) -> Counted {
        Counted { peer, lines: 0, bytes: 0 }
    }

    fn message(&self, counted: &mut Counted, line: &[u8], reply: &mut Reply<'_>) {
        counted.lines += 1;
        counted.bytes += line.len();
        reply.send(&[format!("line {} has {} bytes", counted.lines, line.len()).as_bytes()]);
    }

    fn sent(&self, counted: &mut Counted) {
        println!("{} has its replies, {} so far", counted.peer, counted.lines);
    }

    fn closed(&self, counted: Counted, reason: Reason) {
        let Counted { peer, lines, bytes } = counted;
        println!("{peer} sent {lines} lines of {bytes} bytes in all: {}", reason.as_str());
    }

    fn tick(&self, reactor: usize) {
        if reactor == 0 {
            println!("a minute has passed");
        }
    }
}

fn main() -> io::Result<()> {
    let tick = Some(Duration::from_secs(60));
    let config = Config { framing: Framing::line(), workers: 2, tick, ..Config::default() };
    let server = Server::bind(config, Count)?;
    println!("listening on {}", server.local_addr());
    server.run().map(drop)
}
