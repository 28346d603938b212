//! A chat room: each line goes to all others, and joins and leaves are told. A member that
//! does not read is dropped, so that nobody waits for it. SIGTERM drains it.
//!
//! ```console
//! $ cargo run --release --example chat -- 127.0.0.1 9009
//! listening on 127.0.0.1:9009
//! $ nc 127.0.0.1 9009
//! welcome, guest1; /quit leaves
//! guest2 joined
//! guest2: hello
//! guest2 left
//! /quit
//! bye
//! ```

use std::env;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use reactor_server::{
    Config, ConnectionId, Ending, Framing, Handle, Handler, Reason, Reply, SendError, Server, To,
    WhenFull,
};

/// The longest line, in bytes. A connection that sends a longer one is closed.
const LINE: usize = 4000;

#[derive(Default)]
struct Chat {
    /// How many members have joined so far. It gives each of them a name.
    joined: AtomicU64,
}

struct Member {
    id: ConnectionId,
    name: String,
    server: Handle,
    /// All others were told that it leaves.
    has_left: bool,
}

impl Member {
    fn tell_others(&self, parts: &[&[u8]]) -> Result<(), SendError> {
        self.server.send(To::AllBut(self.id), parts, WhenFull::Close)
    }

    /// Tells all others, once, that it leaves.
    fn leave(&mut self) {
        if !std::mem::replace(&mut self.has_left, true) {
            let _ = self.tell_others(&[self.name.as_bytes(), b" left"]);
        }
    }
}

impl Handler for Chat {
    type Session = Member;

    fn opened(&self, id: ConnectionId, _: SocketAddr, reply: &mut Reply<'_>) -> Member {
        let name = format!("guest{}", 1 + self.joined.fetch_add(1, Relaxed));
        reply.send(&[b"welcome, ", name.as_bytes(), b"; /quit leaves"]);
        let member = Member { id, name, server: reply.handle().clone(), has_left: false };
        // A room that is too busy to be told of joins and leaves goes on without.
        let _ = member.tell_others(&[member.name.as_bytes(), b" joined"]);
        member
    }

    fn message(&self, member: &mut Member, line: &[u8], reply: &mut Reply<'_>) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line == b"/quit" {
            reply.send(&[b"bye"]);
            reply.close();
            // Its connection is closed only when the member closes it too.
            member.leave();
        } else if let Err(error) = member.tell_others(&[member.name.as_bytes(), b": ", line]) {
            // The member alone knows whether to say it again.
            reply.send(&[format!("not sent: {error}").as_bytes()]);
        }
    }

    fn closed(&self, mut member: Member, _: Reason) {
        member.leave();
    }
}

fn main() -> Result<Ending, Box<dyn Error>> {
    let (address, framing) = (address().ok_or("usage: chat IP PORT")?, Framing::line());
    let config =
        Config { address, framing, max_message: LINE, drain_on_signals: true, ..Config::default() };
    let server = Server::bind(config, Chat::default())?;
    println!("listening on {}", server.local_addr());
    Ok(server.run()?)
}

/// The address on the command line: `IP PORT`.
fn address() -> Option<SocketAddr> {
    let mut words = env::args().skip(1);
    let (ip, port) = (words.next()?.parse::<IpAddr>().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some((ip, port).into())
}
