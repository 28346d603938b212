//! A key-value store that all connections share. SIGTERM drains it.
//!
//! ```console
//! $ cargo run --release --example kv -- 127.0.0.1 9009
//! listening on 127.0.0.1:9009
//! $ printf 'SET color dark red\nGET color\nDEL color\nGET color\nQUIT\n' | nc 127.0.0.1 9009
//! OK
//! VALUE dark red
//! OK
//! NOT FOUND
//! BYE
//! ```
//!
//! All else is answered with `ERROR` and what is wrong. A value may contain spaces.

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use reactor_server::{Config, ConnectionId, Ending, Framing, Handler, Reply, Server};

/// The longest key and the longest value, in bytes, and the most keys. Together they bound
/// what clients can make the store hold.
const KEY: usize = 250;
const VALUE: usize = 1000;
const KEYS: usize = 100_000;

/// The longest line. A connection that sends a longer one is closed.
const LINE: usize = "SET ".len() + KEY + " ".len() + VALUE + "\r".len();

/// The values by key, behind a lock because every reactor answers from them.
#[derive(Default)]
struct Store(Mutex<HashMap<Vec<u8>, Vec<u8>>>);

impl Handler for Store {
    type Session = ();

    fn opened(&self, _: ConnectionId, _: SocketAddr, _: &mut Reply<'_>) {}

    fn message(&self, _: &mut (), line: &[u8], reply: &mut Reply<'_>) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut words = line.splitn(3, |&byte| byte == b' ');
        let command = words.next().unwrap_or_default().to_ascii_uppercase();
        // A panic elsewhere closes one connection, and leaves no look-up half done.
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (command.as_slice(), words.next(), words.next()) {
            (b"GET", Some(key), None) => match values.get(key) {
                Some(value) => reply.send(&[b"VALUE ", value]),
                None => reply.send(&[b"NOT FOUND"]),
            },
            (b"SET", Some(key), Some(value)) => match set(&mut values, key, value) {
                Ok(()) => reply.send(&[b"OK"]),
                Err(problem) => reply.send(&[b"ERROR ", problem.as_bytes()]),
            },
            (b"DEL", Some(key), None) => match values.remove(key) {
                Some(_) => reply.send(&[b"OK"]),
                None => reply.send(&[b"NOT FOUND"]),
            },
            (b"QUIT", None, None) => {
                reply.send(&[b"BYE"]);
                reply.close();
            }
            _ => reply.send(&[b"ERROR expected GET k, SET k v, DEL k or QUIT"]),
        }
    }
}

fn set(values: &mut HashMap<Vec<u8>, Vec<u8>>, key: &[u8], value: &[u8]) -> Result<(), String> {
    if key.is_empty() || key.len() > KEY {
        return Err(format!("a key has 1 to {KEY} bytes"));
    }
    if value.len() > VALUE {
        return Err(format!("a value has at most {VALUE} bytes"));
    }
    if values.len() >= KEYS && !values.contains_key(key) {
        return Err(format!("the store is full: it has {KEYS} keys"));
    }
    values.insert(key.to_vec(), value.to_vec());
    Ok(())
}

fn main() -> Result<Ending, Box<dyn Error>> {
    let (address, framing) = (address().ok_or("usage: kv IP PORT")?, Framing::line());
    let config =
        Config { address, framing, max_message: LINE, drain_on_signals: true, ..Config::default() };
    let server = Server::bind(config, Store::default())?;
    println!("listening on {}", server.local_addr());
    Ok(server.run()?)
}

/// The address on the command line: `IP PORT`.
fn address() -> Option<SocketAddr> {
    let mut words = env::args().skip(1);
    let (ip, port) = (words.next()?.parse::<IpAddr>().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some((ip, port).into())
}
