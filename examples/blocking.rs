//! A server whose handler blocks: it sleeps before it echoes a line, as others wait for a disk
//! or a database. Workers wait, so that no reactor does. SIGTERM drains it.
//!
//! ```console
//! $ cargo run --release --example blocking -- 127.0.0.1 9009
//! listening on 127.0.0.1:9009
//! $ printf 'hello\n' | nc -N 127.0.0.1 9009
//! hello
//! ```

use std::env;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

use reactor_server::{Config, ConnectionId, Ending, Framing, Handler, Reply, Server};

/// How long the handler blocks for each line.
const WAIT: Duration = Duration::from_millis(100);
/// How many lines can wait at once. A worker that sleeps costs no CPU, so there may be many more
/// than CPUs.
const WORKERS: usize = 16;

struct Blocking;

impl Handler for Blocking {
    type Session = ();

    fn opened(&self, _: ConnectionId, _: SocketAddr, _: &mut Reply<'_>) {}

    fn message(&self, _: &mut (), _: &[u8], reply: &mut Reply<'_>) {
        thread::sleep(WAIT);
        reply.echo();
    }
}

fn main() -> Result<Ending, Box<dyn Error>> {
    let address = address().ok_or("usage: blocking IP PORT")?;
    let config = Config {
        address,
        workers: WORKERS,
        framing: Framing::line(),
        drain_on_signals: true,
        ..Config::default()
    };
    let server = Server::bind(config, Blocking)?;
    println!("listening on {}", server.local_addr());
    Ok(server.run()?)
}

/// The address on the command line: `IP PORT`.
fn address() -> Option<SocketAddr> {
    let mut words = env::args().skip(1);
    let (ip, port) = (words.next()?.parse::<IpAddr>().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some((ip, port).into())
}
