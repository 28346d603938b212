//! A server that answers each line in capitals. SIGTERM drains it.
//!
//! ```console
//! $ cargo run --release --example upper -- 127.0.0.1 9009
//! listening on 127.0.0.1:9009
//! $ printf 'hello\n' | nc -N 127.0.0.1 9009
//! HELLO
//! ```

use std::env;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};

use reactor_server::{Config, ConnectionId, Ending, Framing, Handler, Reply, Server};

struct Upper;

impl Handler for Upper {
    type Session = ();

    fn opened(&self, _: ConnectionId, _: SocketAddr, _: &mut Reply<'_>) {}

    fn message(&self, _: &mut (), line: &[u8], reply: &mut Reply<'_>) {
        reply.send(&[&line.to_ascii_uppercase()]);
    }
}

fn main() -> Result<Ending, Box<dyn Error>> {
    let address = address().ok_or("usage: upper IP PORT")?;
    let framing = Framing::line();
    let config = Config { address, framing, drain_on_signals: true, ..Config::default() };
    let server = Server::bind(config, Upper)?;
    println!("listening on {}", server.local_addr());
    Ok(server.run()?)
}

/// The address on the command line: `IP PORT`.
fn address() -> Option<SocketAddr> {
    let mut words = env::args().skip(1);
    let (ip, port) = (words.next()?.parse::<IpAddr>().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some((ip, port).into())
}
