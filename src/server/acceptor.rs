//! The main reactor: accepts connections and deals them to the reactors.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::net::busy_poll::BusyPoll;
use crate::net::mailbox::{EventLoop, Mailbox};
use crate::net::poll::{Events, Interest};
use crate::net::sys;
use crate::net::termination_signals::TerminationSignals;
use crate::net::token::Token;
use crate::server::config::Config;
use crate::server::connection_log::{ConnectionLog, LogConnections};
use crate::server::ending::Ending;
use crate::server::handle::Handle;
use crate::server::mail::{Mail, Newcomer};
use crate::server::notice::Notice;
use crate::server::round_robin::RoundRobin;
use crate::server::seats::{Seat, Seats};
use crate::server::shortage::{Cause, Shortage};
use crate::wire::reason::Reason;

/// Accepts connections and deals them to the reactors. It never runs a handler's code.
#[derive(Debug)]
pub(crate) struct Acceptor<S> {
    event_loop: EventLoop<Notice>,
    /// Gone once the server drains.
    listener: Option<TcpListener>,
    watched: Option<Interest>,
    /// The first of them drains, a second one stops.
    signals: Option<TerminationSignals>,
    mailboxes: Vec<Mailbox<Mail<S>>>,
    round_robin: RoundRobin,
    seats: Arc<Seats>,
    pause: Option<Pause>,
    /// Accepting goes on after this pause, and what is accepted had to wait.
    catching_up: Option<Pause>,
    /// Of seats.
    full: Shortage,
    /// Of descriptors or memory.
    exhausted: Shortage,
    drain_timeout: Duration,
    /// When it ends at the latest, once it was told to end.
    end_by: Option<Instant>,
    /// How many threads have not ended.
    running: usize,
    /// Stands in front of what it logs.
    log_prefix: String,
    log: ConnectionLog,
    server: Handle,
}

/// Why nothing is accepted for a while.
#[derive(Debug, Clone, Copy)]
enum Pause {
    /// All seats are taken: until one is given back.
    Full,
    /// Descriptors or memory are used up: until this time, or until a seat is given back.
    Exhausted(Instant),
}

/// What a failed `accept` calls for.
#[derive(Debug, PartialEq, Eq)]
enum AcceptError {
    /// No connection is waiting.
    NotYet,
    /// Only this attempt failed.
    Retry,
    /// Descriptors or memory are used up.
    Exhausted,
    OurMistake,
}

/// How many connections may wait to be accepted, if `net.core.somaxconn` allows as many.
const BACKLOG: i32 = 65_535;
/// The longest time that is added to a clock: a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// How many connections are accepted before the mail is read again.
const BATCH: usize = 256;
/// How long to wait for descriptors or memory.
const PAUSE: Duration = Duration::from_millis(50);
/// How much longer than the reactors the acceptor waits for the end of a drain. A thread
/// that has not ended by then is stuck in a handler.
const GRACE: Duration = Duration::from_millis(500);
/// How long the threads get to reset their connections when they are told to end now.
const STOP: Duration = Duration::from_millis(20);

impl<S> Acceptor<S> {
    /// An acceptor for a socket that is bound, which must be non-blocking.
    pub(crate) fn new(
        event_loop: EventLoop<Notice>,
        listener: TcpListener,
        seats: Arc<Seats>,
        mailboxes: Vec<Mailbox<Mail<S>>>,
        config: &Config,
        which: LogConnections,
        server: Handle,
    ) -> io::Result<Acceptor<S>> {
        let mut watched = None;
        event_loop.poll.watch(&listener, Token::LISTENER, &mut watched, Interest::READABLE)?;
        let (signals, running, pause, catching_up, end_by) = Default::default();
        let (full, exhausted) = Default::default();
        let round_robin = RoundRobin::new(mailboxes.len());
        let (listener, log) = (Some(listener), ConnectionLog { which, acceptor: sys::thread_id() });
        Ok(Acceptor {
            event_loop,
            listener,
            watched,
            signals,
            mailboxes,
            round_robin,
            seats,
            pause,
            catching_up,
            full,
            exhausted,
            drain_timeout: config.drain_timeout.saturating_add(config.drain_spread),
            end_by,
            running,
            log_prefix: config.prefix(": "),
            log,
            server,
        })
    }

    /// Has the kernel queue connections from now on.
    pub(crate) fn listen(&self) -> io::Result<()> {
        self.listener.iter().try_for_each(|listener| SockRef::from(listener).listen(BACKLOG))
    }

    /// Drains at the first of these signals, and stops at a second one.
    pub(crate) fn end_on(&mut self, signals: TerminationSignals) -> io::Result<()> {
        let poll = &self.event_loop.poll;
        poll.watch(&signals, Token::SIGNALS, &mut None, Interest::READABLE)?;
        self.signals = Some(signals);
        Ok(())
    }

    /// How many connections may be open at once.
    pub(crate) fn max_connections(&self) -> usize {
        self.seats.limit()
    }

    /// Accepts on the calling thread until it is told to end, then waits for the `running`
    /// other threads to notify their end.
    ///
    /// # Errors
    /// A mistake of ours, here or in another thread.
    pub(crate) fn run(&mut self, running: usize, mut busy_poll: BusyPoll) -> io::Result<Ending> {
        (self.running, self.log.acceptor) = (running, sys::thread_id());
        let mut events = Events::with_capacity(8);
        while self.running > 0 {
            if self.end_by.is_some_and(|end| end <= Instant::now()) {
                return Ok(Ending::Forced);
            }
            busy_poll.wait(&self.event_loop, &mut events, self.timeout())?;
            self.read_mail()?;
            self.read_signals(&events)?;
            if events.iter().any(|event| event.token() == Token::LISTENER) {
                self.accept(BATCH)?;
            }
            // After the wake-up is acknowledged: a seat given back from here on wakes anew.
            self.resume()?;
            self.tell_of_shortages();
        }
        Ok(self.ending())
    }

    /// Accepts at most `most` connections, as long as there are some. Each takes a seat and
    /// goes to the reactor whose turn it is.
    fn accept(&mut self, most: usize) -> io::Result<()> {
        let mut failed = None;
        for _ in 0..most {
            let (Some(listener), None) = (&self.listener, self.pause) else {
                return Ok(());
            };
            let Some(seat) = self.seats.take() else {
                return self.pause_while_full();
            };
            match sys::accept(listener.as_fd()) {
                Ok((socket, address)) => {
                    failed = None;
                    self.deal(socket, address, seat);
                }
                Err(error) => {
                    drop(seat);
                    match accept_error(&error) {
                        AcceptError::NotYet => {
                            self.catching_up = None;
                            return Ok(());
                        }
                        AcceptError::Retry => self.server.stats().acceptor.retries.add(1),
                        AcceptError::Exhausted => return self.pause_while_exhausted(&error),
                        AcceptError::OurMistake => return Err(error),
                    }
                    failed = Some(error);
                }
            }
        }
        // A failure that stays must not keep this thread busy.
        failed.map_or(Ok(()), |error| self.pause_while_exhausted(&error))
    }

    fn deal(&mut self, socket: OwnedFd, address: SocketAddr, seat: Seat) {
        self.log.accepted(socket.as_raw_fd(), address);
        let opened = self.server.stats().nanoseconds();
        self.server.stats().count_accept(opened);
        self.server.stats().acceptor.waited.add(u64::from(self.catching_up.is_some()));
        match self.catching_up {
            Some(Pause::Full) => self.full.count_accepted(),
            Some(Pause::Exhausted(_)) => self.exhausted.count_accepted(),
            None => {}
        }
        let socket = TcpStream::from(socket);
        let newcomer = Newcomer { socket, address, opened, log: self.log, seat };
        self.mailboxes[self.round_robin.next()].send(Mail::Adopt(newcomer));
    }

    fn pause_while_full(&mut self) -> io::Result<()> {
        self.seats.await_free();
        // A seat that was given back just before that would wake nobody.
        if self.seats.has_free() {
            return Ok(());
        }
        self.server.stats().acceptor.full.add(1);
        let begins = self.full.pause(Instant::now(), Cause::Full(self.seats.limit()));
        self.pause(Pause::Full, begins)
    }

    fn pause_while_exhausted(&mut self, error: &io::Error) -> io::Result<()> {
        self.seats.await_free();
        self.server.stats().acceptor.exhausted.add(1);
        let (now, cause) = (Instant::now(), Cause::Exhausted(error.to_string()));
        let begins = self.exhausted.pause(now, cause);
        self.pause(Pause::Exhausted(now + PAUSE), begins)
    }

    fn pause(&mut self, pause: Pause, begins: Option<String>) -> io::Result<()> {
        begins.iter().for_each(|line| log::warn!("{}{line}", self.log_prefix));
        self.pause = Some(pause);
        self.watch(Interest::NONE)
    }

    /// Accepts again, if the reason to pause is over.
    fn resume(&mut self) -> io::Result<()> {
        let is_over = match self.pause {
            None => false,
            Some(Pause::Full) => self.seats.has_free(),
            Some(Pause::Exhausted(until)) => until <= Instant::now() || self.seats.has_woken(),
        };
        if !is_over {
            return Ok(());
        }
        self.catching_up = self.pause.take();
        let now = Instant::now();
        self.full.resume(now);
        self.exhausted.resume(now);
        self.watch(Interest::READABLE)?;
        // What waits, and so had to wait, is told apart from what arrives later.
        self.accept(BATCH)
    }

    /// Logs what is due by now of shortages that last or are over.
    fn tell_of_shortages(&mut self) {
        if self.full.next_line().or(self.exhausted.next_line()).is_none() {
            return;
        }
        let (now, listener) = (Instant::now(), &self.listener);
        let waiting =
            || listener.as_ref().map_or(0, |it| sys::accept_queue(it.as_fd()).unwrap_or(0));
        for shortage in [&mut self.full, &mut self.exhausted] {
            shortage
                .tell(now, waiting)
                .iter()
                .for_each(|line| log::warn!("{}{line}", self.log_prefix));
        }
    }

    fn watch(&mut self, interest: Interest) -> io::Result<()> {
        match &self.listener {
            Some(listener) => {
                let poll = &self.event_loop.poll;
                poll.watch(listener, Token::LISTENER, &mut self.watched, interest)
            }
            None => Ok(()),
        }
    }

    fn read_mail(&mut self) -> io::Result<()> {
        for _ in 0..self.event_loop.inbox.acknowledge() {
            match self.event_loop.inbox.take() {
                Some(Notice::Drain) => self.drain()?,
                Some(Notice::Stop) => self.stop(STOP),
                Some(Notice::Ended(result)) => self.thread_ended(result)?,
                None => break,
            }
        }
        Ok(())
    }

    fn read_signals(&mut self, events: &Events) -> io::Result<()> {
        if events.iter().all(|event| event.token() != Token::SIGNALS) {
            return Ok(());
        }
        while let Some(count) = self.signals.as_mut().and_then(TerminationSignals::take) {
            match count {
                1 => self.drain()?,
                _ => self.stop(STOP),
            }
        }
        Ok(())
    }

    /// Accepts what waits, closes the listener, and has the reactors answer what arrived.
    ///
    /// The kernel told the waiting clients that they are connected, and they may have sent:
    /// they are accepted whether seats are free or not, as far as there are descriptors.
    fn drain(&mut self) -> io::Result<()> {
        if self.end_by.is_some() {
            return Ok(());
        }
        // Before the reactors drain: what is sent then would be lost, and its sender not told.
        self.server.end();
        self.pause = None;
        self.seats.lift_limit();
        self.accept(BACKLOG as usize)?;
        self.close_listener();
        (self.full, self.exhausted) = Default::default();
        let by = Instant::now() + self.drain_timeout.min(LONGEST);
        self.end_by = Some(by + GRACE);
        self.mailboxes.iter().for_each(|mailbox| mailbox.send(Mail::Drain(by)));
        Ok(())
    }

    /// Another process may have the listener as well: epoll would go on to report it.
    fn close_listener(&mut self) {
        if let Some(listener) = self.listener.take() {
            // It was watched, so this cannot fail.
            let _ = self.event_loop.poll.forget(&listener);
        }
    }

    /// Has the reactors reset their connections, and waits for them to end, this long at most.
    fn stop(&mut self, grace: Duration) {
        self.server.end();
        self.close_listener();
        self.end_by = Some(Instant::now() + grace);
        self.mailboxes.iter().for_each(|mailbox| mailbox.send(Mail::Stop));
    }

    fn ending(&self) -> Ending {
        match self.server.stats().closed_for(Reason::Stop) {
            0 => Ending::Drained,
            _ => Ending::Forced,
        }
    }

    fn thread_ended(&mut self, result: io::Result<()>) -> io::Result<()> {
        self.running -= 1;
        match result {
            Ok(()) if self.end_by.is_none() => {
                Err(io::Error::other("a thread ended before it was told to"))
            }
            result => result,
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let pause = match self.pause {
            Some(Pause::Exhausted(until)) => Some(until),
            _ => None,
        };
        let lines = [self.full.next_line(), self.exhausted.next_line()];
        let next = [pause, self.end_by].into_iter().chain(lines).flatten().min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }
}

/// However it ended, the reactors do not outlive it.
impl<S> Drop for Acceptor<S> {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

fn accept_error(error: &io::Error) -> AcceptError {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => AcceptError::NotYet,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => AcceptError::Exhausted,
        Some(libc::EBADF | libc::EFAULT | libc::EINVAL | libc::ENOTSOCK) => AcceptError::OurMistake,
        // What happened to one connection before it was accepted, which accept(2) says to
        // treat like EAGAIN; or an interruption.
        _ => AcceptError::Retry,
    }
}
