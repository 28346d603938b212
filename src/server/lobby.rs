//! Where connections wait until a proxy has said who is behind them.
//!
//! It is a thread between the acceptor and the reactors, for servers that expect the PROXY
//! protocol. It reads the header of each connection and not a byte more, so that a reactor adopts
//! a connection as it adopts any other.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::net::address::plain;
use crate::net::connection::Tally;
use crate::net::mailbox::{EventLoop, Mailbox};
use crate::net::network::Network;
use crate::net::poll::{EVENTS, Events, Interest};
use crate::net::slab::Slab;
use crate::net::socket::Socket;
use crate::net::sys;
use crate::net::token::Token;
use crate::server::connection_log::{Closed, LogConnections};
use crate::server::handle::Handle;
use crate::server::mail::{Mail, Newcomer};
use crate::server::round_robin::RoundRobin;
use crate::wire::proxy_header::{Header, LONGEST, ProxyProtocol};
use crate::wire::reason::Reason;

/// Who names the clients, and how.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Every connection begins with a header of this version.
    pub protocol: ProxyProtocol,
    /// Connections from elsewhere are closed.
    pub from: Vec<Network>,
}

/// How long a header may take.
const DEADLINE: Duration = Duration::from_secs(3);

/// Reads headers, on a thread of its own.
pub(crate) struct Lobby<S> {
    event_loop: EventLoop<Mail<S>>,
    proxy: Proxy,
    pending: Slab<Pending>,
    /// In the order in which they arrived, with those that have left.
    deadlines: VecDeque<(Instant, Token)>,
    reactors: Vec<Mailbox<Mail<S>>>,
    round_robin: RoundRobin,
    server: Handle,
    /// Which connections are logged, once their clients are known.
    logged: LogConnections,
    thread: i32,
    has_ended: bool,
}

/// A connection whose header is not complete.
struct Pending {
    newcomer: Newcomer,
    /// The reactor whose turn it was when the connection was accepted.
    reactor: usize,
    header: Vec<u8>,
}

impl<S> Lobby<S> {
    /// A lobby for the thread that calls this.
    pub(crate) fn new(
        event_loop: EventLoop<Mail<S>>,
        proxy: Proxy,
        reactors: Vec<Mailbox<Mail<S>>>,
        server: Handle,
        logged: LogConnections,
    ) -> Lobby<S> {
        let (pending, deadlines, has_ended) = Default::default();
        let (round_robin, thread) = (RoundRobin::new(reactors.len()), sys::thread_id());
        Lobby {
            event_loop,
            proxy,
            pending,
            deadlines,
            reactors,
            round_robin,
            server,
            logged,
            thread,
            has_ended,
        }
    }

    /// Passes connections on until the server drains or stops, which it passes on last.
    ///
    /// # Errors
    /// Epoll failed, which is a mistake of ours.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        while !self.has_ended {
            self.event_loop.wait(&mut events, self.timeout())?;
            self.read_mail();
            for event in events.iter().filter(|event| event.token() != Token::WAKE) {
                self.read(event.token());
            }
            self.refuse_late();
        }
        Ok(())
    }

    fn read_mail(&mut self) {
        for _ in 0..self.event_loop.inbox.acknowledge() {
            match self.event_loop.inbox.take() {
                Some(Mail::Adopt(newcomer)) => self.admit(newcomer),
                Some(Mail::Drain(by)) => {
                    // What has arrived by now is answered.
                    let tokens: Vec<_> = self.pending.tokens().collect();
                    tokens.into_iter().for_each(|token| self.read(token));
                    self.end(Reason::Drain, || Mail::Drain(by));
                }
                Some(Mail::Stop) => self.end(Reason::Stop, || Mail::Stop),
                // What workers and handles send goes to the reactors.
                Some(Mail::Finish(_) | Mail::Push(_)) | None => {}
            }
        }
    }

    /// Takes a connection over from the acceptor.
    fn admit(&mut self, mut newcomer: Newcomer) {
        newcomer.log.which = self.logged;
        let reactor = self.round_robin.next();
        let pending = Pending { newcomer, reactor, header: Vec::new() };
        let address = pending.newcomer.address.ip();
        if !self.proxy.from.iter().any(|network| network.contains(address)) {
            return self.refuse(&pending, Reason::ProxyHeader);
        }
        let token = self.pending.insert(pending);
        self.deadlines.push_back((Instant::now() + DEADLINE, token));
        let Some(pending) = self.pending.get_mut(token) else { return };
        let socket = &pending.newcomer.socket;
        let poll = &self.event_loop.poll;
        if let Err(error) = poll.watch(socket, token, &mut None, Interest::READABLE) {
            self.server.stats().lobby.count_unwatched(&error);
            self.dismiss(token, Reason::Error);
        }
    }

    /// Reads what has arrived of a header, and passes the connection on if that completes it.
    fn read(&mut self, token: Token) {
        let Some(pending) = self.pending.get_mut(token) else { return };
        match pending.read(self.proxy.protocol) {
            Ok(Header::Incomplete) => {}
            Ok(Header::Complete(source)) => self.pass_on(token, source.map(plain)),
            Ok(Header::Wrong) => self.dismiss(token, Reason::ProxyHeader),
            Err(error) => self.dismiss(token, Reason::of(&error)),
        }
    }

    fn pass_on(&mut self, token: Token, source: Option<std::net::SocketAddr>) {
        let Some(Pending { mut newcomer, reactor, .. }) = self.pending.remove(token) else {
            return;
        };
        // It was watched, so this cannot fail.
        let _ = self.event_loop.poll.forget(&newcomer.socket);
        newcomer.address = source.unwrap_or(newcomer.address);
        newcomer.log.accepted(newcomer.socket.as_raw_fd(), newcomer.address);
        self.reactors[reactor].send(Mail::Adopt(newcomer));
    }

    /// Closes a connection that has no header.
    fn dismiss(&mut self, token: Token, reason: Reason) {
        if let Some(pending) = self.pending.remove(token) {
            self.refuse(&pending, reason);
        }
    }

    /// Counts and logs a connection that is about to be closed, under its own address.
    fn refuse(&self, pending: &Pending, reason: Reason) {
        let Pending { newcomer, header, .. } = pending;
        let (fd, peer) = (newcomer.socket.as_raw_fd(), newcomer.address);
        if reason.resets() {
            newcomer.socket.reset();
        }
        let stats = self.server.stats();
        let now = stats.nanoseconds();
        let open = Duration::from_nanos(now.saturating_sub(newcomer.opened));
        let tally = Tally { received: header.len() as u64, ..Tally::default() };
        let (thread, messages) = (self.thread, 0);
        stats.lobby.received.add(tally.received);
        stats.lobby.count_close(now, reason);
        newcomer.log.accepted(fd, peer);
        if !header.is_empty() {
            newcomer.log.used(fd, peer);
        }
        newcomer.log.closed(&Closed { fd, peer, thread, open, messages, tally, reason });
    }

    fn refuse_late(&mut self) {
        while let Some(&(due, token)) = self.deadlines.front() {
            // Those that have left are skipped.
            if self.pending.get_mut(token).is_some() {
                if due > Instant::now() {
                    return;
                }
                self.dismiss(token, Reason::ProxyHeader);
            }
            self.deadlines.pop_front();
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let (due, _) = self.deadlines.front()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    /// Refuses those that wait, and tells all reactors.
    fn end(&mut self, reason: Reason, mail: impl Fn() -> Mail<S>) {
        let tokens: Vec<_> = self.pending.tokens().collect();
        tokens.into_iter().for_each(|token| self.dismiss(token, reason));
        self.reactors.iter().for_each(|reactor| reactor.send(mail()));
        self.has_ended = true;
    }
}

impl Pending {
    /// Reads what has arrived of the header. What follows it stays with the kernel.
    fn read(&mut self, protocol: ProxyProtocol) -> io::Result<Header> {
        let mut buffer = [0; LONGEST];
        loop {
            let count = match self.newcomer.socket.peek(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Header::Incomplete);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            };
            let own = protocol.belongs(&self.header, &buffer[..count]);
            if own == 0 {
                // The peer has finished, or its header is too long.
                return Ok(Header::Wrong);
            }
            self.newcomer.socket.read_exact(&mut buffer[..own])?;
            self.header.extend_from_slice(&buffer[..own]);
            match protocol.parse(&self.header) {
                Header::Incomplete => {}
                header => return Ok(header),
            }
        }
    }
}
