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
//! What it lacks, and the server has: it ends when it is out of descriptors, and a peer may be
//! slow for ever. The third step is `upper`, on the whole server.

use std::env;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use reactor_server::parts::{
    Connection, Events, Interest, Poll, Received, Slab, TerminationSignals, Token,
};

/// How many bytes are read at once.
const SCRATCH: usize = 2048;

/// How long a drain may take.
const DRAIN: Duration = Duration::from_secs(1);

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
    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(32);
        while self.listener.is_some() || !self.peers.is_empty() {
            let left = self.end_by.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                break;
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
        Ok(())
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
        let is_draining = self.end_by.is_some();
        let goes_on = peer.turn(&mut self.scratch, is_draining).and_then(|goes_on| {
            let interest = peer.interest(is_draining);
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
        while self.signals.take() {
            let is_second = self.end_by.is_some();
            self.accept()?;
            self.listener = None;
            self.end_by = Some(Instant::now() + if is_second { Duration::ZERO } else { DRAIN });
        }
        let tokens: Vec<_> = self.peers.tokens().collect();
        tokens.into_iter().for_each(|token| self.visit(token));
        Ok(())
    }
}

/// One connection.
struct Peer {
    /// The socket, and bytes that the kernel does not take yet.
    connection: Connection,
    /// What epoll watches the socket for.
    watched: Option<Interest>,
    /// Our FIN was sent.
    is_finished: bool,
}

impl Peer {
    fn new(socket: TcpStream) -> Peer {
        Peer { connection: Connection::new(socket), watched: None, is_finished: false }
    }

    /// What it waits for: bytes, or room for those that are left.
    fn interest(&self, is_draining: bool) -> Interest {
        match (self.connection.has_unsent(), is_draining && !self.is_finished) {
            (true, _) => Interest::WRITABLE,
            (false, false) => Interest::READABLE,
            // A turn in any case: perhaps nothing more has arrived, and the FIN is due.
            (false, true) => Interest::READABLE | Interest::WRITABLE,
        }
    }

    /// Echoes what arrived, after what is left. Returns whether the connection goes on.
    fn turn(&mut self, scratch: &mut [u8], is_draining: bool) -> io::Result<bool> {
        if self.connection.has_unsent() {
            self.connection.flush()?;
            // A peer that takes no replies is not read from.
            return Ok(true);
        }
        match self.connection.receive(scratch)? {
            Received::Eof => return Ok(false),
            // Too late for an answer.
            Received::Bytes(_) if self.is_finished => {}
            Received::Bytes(count) => self.connection.send(&scratch[..count])?,
            Received::NotYet if is_draining && !self.is_finished => {
                self.connection.socket().shutdown(Shutdown::Write)?;
                self.is_finished = true;
            }
            Received::NotYet => {}
        }
        Ok(true)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
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
