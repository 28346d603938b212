//! A server with its own handler: it answers each line with the number of lines that the
//! connection has sent, and prints the totals when the connection closes. SIGTERM drains it.
//!
//! ```console
//! $ cargo run --release --example count -- 127.0.0.1 9009
//! listening on 127.0.0.1:9009
//! $ printf 'a\nbc\n' | nc -N 127.0.0.1 9009
//! line 1 has 1 bytes
//! line 2 has 2 bytes
//! ```

use std::env;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reactor_server::{Config, ConnectionId, Ending, Framing, Handler, Reason, Reply, Server};

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

fn main() -> Result<Ending, Box<dyn Error>> {
    let config = Config {
        address: address().ok_or("usage: count IP PORT")?,
        workers: 2,
        framing: Framing::line(),
        tick: Some(Duration::from_secs(60)),
        drain_on_signals: true,
        ..Config::default()
    };
    let server = Server::bind(config, Count)?;
    println!("listening on {}", server.local_addr());
    Ok(server.run()?)
}

/// The address on the command line: `IP PORT`.
fn address() -> Option<SocketAddr> {
    let mut words = env::args().skip(1);
    let (ip, port) = (words.next()?.parse::<IpAddr>().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some((ip, port).into())
}
