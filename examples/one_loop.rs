//! The second step: an echo server that is one thread and one epoll, on the library's parts.
//!
//! Each echo takes one round of the loop: `epoll_wait`, `read`, and a `write` at once, because
//! there is almost always room. Only where the kernel does not take all bytes the rest waits
//! for room, as every echo does in the first step, `two_loops`. SIGTERM drains it.
//!
//! ```console
//! $ cargo run --release --example one_loop -- 127.0.0.1 9009
//! listening on 127.0.0.1:9009
//! $ printf 'hello\n' | nc -N 127.0.0.1 9009
//! hello
//! ```
//!
//! What it lacks, and the server has: it ends when it is out of descriptors, a peer may be slow
//! for ever, and a drain waits 10 seconds for a peer that does not close. The third step is `upper`,
//! on the whole server.

use std::env;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use reactor_server::Ending;
use reactor_server::parts::{
    Connection, Events, Interest, Poll, Received, Slab, Socket, TerminationSignals, Token,
};

/// How many bytes are read at once.
const SCRATCH: usize = 2048;

/// How long a drain may take.
const DRAIN: Duration = Duration::from_secs(10);

/// The loop, and all that it owns.
struct EchoLoop {
    poll: Poll,
    signals: TerminationSignals,
    /// Gone once the server drains.
    listener: Option<TcpListener>,
    peers: Slab<Peer>,
    scratch: [u8; SCRATCH],
    /// When it ends at the latest, once it drains.
    end_by: Option<Instant>,
}

impl EchoLoop {
    fn bind(address: SocketAddr) -> io::Result<EchoLoop> {
        let (poll, signals) = (Poll::new()?, TerminationSignals::block()?);
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        poll.watch(&listener, Token::LISTENER, &mut None, Interest::READABLE)?;
        poll.watch(&signals, Token::SIGNALS, &mut None, Interest::READABLE)?;
        let (peers, scratch, end_by) = (Slab::default(), [0; SCRATCH], None);
        Ok(EchoLoop { poll, signals, listener: Some(listener), peers, scratch, end_by })
    }

    /// Serves until a signal arrives, and then until the last connection is closed.
    fn run(mut self) -> io::Result<Ending> {
        let mut events = Events::with_capacity(32);
        while self.listener.is_some() || !self.peers.is_empty() {
            let left = self.end_by.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(Ending::Forced);
            }
            self.poll.wait(&mut events, left)?;
            for event in events.iter() {
                match event.token() {
                    Token::LISTENER => self.accept()?,
                    Token::SIGNALS => self.drain()?,
                    token => self.visit(token),
                }
            }
        }
        Ok(Ending::Drained)
    }

    /// Accepts all connections that wait.
    fn accept(&mut self) -> io::Result<()> {
        while let Some(listener) = &self.listener {
            let socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            socket.set_nonblocking(true)?;
            let token = self.peers.insert(Peer::new(socket));
            self.visit(token);
        }
        Ok(())
    }

    /// Gives a peer its turn, then has epoll watch it for what it needs next.
    fn visit(&mut self, token: Token) {
        // An earlier event of the same wait may have ended it.
        let Some(peer) = self.peers.get_mut(token) else { return };
        let goes_on = peer.turn(&mut self.scratch).and_then(|goes_on| {
            let interest = peer.interest();
            self.poll.watch(peer.connection.socket(), token, &mut peer.watched, interest)?;
            Ok(goes_on)
        });
        // A mistake of a peer, or the end of its connection, ends that peer alone.
        if !goes_on.unwrap_or(false) {
            self.peers.remove(token);
        }
    }

    /// Accepts no more, and has each peer answered what arrived. A second signal ends it.
    fn drain(&mut self) -> io::Result<()> {
        while let Some(count) = self.signals.take() {
            if count > 1 {
                self.end_by = Some(Instant::now());
                return Ok(());
            }
            self.accept()?;
            self.listener = None;
            self.end_by = Some(Instant::now() + DRAIN);
            for token in self.peers.tokens().collect::<Vec<_>>() {
                if let Some(peer) = self.peers.get_mut(token) {
                    // A peer that has failed is removed by its turn.
                    peer.left = Some(peer.connection.socket().arrived().unwrap_or(0) as usize);
                }
                self.visit(token);
            }
        }
        Ok(())
    }
}

/// One connection.
struct Peer {
    /// The socket, and bytes that the kernel does not take yet.
    connection: Connection,
    /// What epoll watches the socket for.
    watched: Option<Interest>,
    /// How many bytes are still answered, once the server drains.
    left: Option<usize>,
    /// Our FIN was sent.
    is_finished: bool,
}

impl Peer {
    fn new(socket: TcpStream) -> Peer {
        Peer { connection: Connection::new(socket), watched: None, left: None, is_finished: false }
    }

    /// What it waits for: room for what is not sent back yet, or bytes. A peer that takes no
    /// replies is not read from.
    fn interest(&self) -> Interest {
        if self.connection.has_unsent() { Interest::WRITABLE } else { Interest::READABLE }
    }

    /// Echoes what arrived, after what is left. Returns whether the connection goes on.
    fn turn(&mut self, scratch: &mut [u8]) -> io::Result<bool> {
        if self.connection.has_unsent() {
            self.connection.flush()?;
        } else if self.left != Some(0) {
            let most = self.left.map_or(SCRATCH, |left| left.min(SCRATCH));
            match self.connection.receive(&mut scratch[..most])? {
                Received::Eof => return Ok(false),
                Received::NotYet => {}
                Received::Bytes(count) => {
                    self.left = self.left.map(|left| left - count);
                    self.connection.send(&scratch[..count])?;
                }
            }
        } else if self.is_finished {
            // Too late for an answer. Closed over unread bytes, the connection would be reset.
            return Ok(self.connection.receive(scratch)? != Received::Eof);
        }
        if self.left == Some(0) && !self.connection.has_unsent() && !self.is_finished {
            self.connection.socket().send_fin()?;
            self.is_finished = true;
        }
        Ok(true)
    }
}

fn main() -> Result<Ending, Box<dyn Error>> {
    let address = address().ok_or("usage: one_loop IP PORT")?;
    let echo_loop = EchoLoop::bind(address)?;
    if let Some(listener) = &echo_loop.listener {
        println!("listening on {}", listener.local_addr()?);
    }
    Ok(echo_loop.run()?)
}

/// The address on the command line: `IP PORT`.
fn address() -> Option<SocketAddr> {
    let mut words = env::args().skip(1);
    let (ip, port) = (words.next()?.parse::<IpAddr>().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some((ip, port).into())
}
