//! The main reactor: accepts connections and deals them out.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::net::busy_poll::Spin;
use crate::net::mailbox::{EventLoop, Mailbox};
use crate::net::poll::{Events, Interest};
use crate::net::sys;
use crate::net::token::Token;
use crate::server::connection_log;
use crate::server::mail::Mail;
use crate::server::peer::Newcomer;
use crate::server::round_robin::RoundRobin;
use crate::server::seats::{Seat, Seats};
use crate::server::stats::Stats;
use crate::wire::reason::Reason;

/// All that the acceptor can be told.
#[derive(Debug)]
pub(crate) enum Notice {
    /// Accept no more, and have the reactors answer what has arrived.
    Drain,
    /// End now.
    Stop,
    /// A thread has ended, as it should or not.
    Ended(io::Result<()>),
}

/// How a server came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Everything that had arrived was answered.
    Drained,
    /// It was told to stop at once, or its time to drain was over, and
    /// connections were cut.
    Forced,
}

/// Accepts connections, for reactors to own. It never runs a handler's code.
#[derive(Debug)]
pub(crate) struct Acceptor<S> {
    event_loop: EventLoop<Notice>,
    listener: Option<TcpListener>,
    watched: Option<Interest>,
    reactors: Vec<Mailbox<Mail<S>>>,
    round_robin: RoundRobin,
    seats: Arc<Seats>,
    pause: Option<Pause>,
    /// When it last complained, so that it does so once a second at most.
    complained: Option<Instant>,
    drain_timeout: Duration,
    /// When it ends at the latest.
    end_by: Option<Instant>,
    /// Threads that have not ended.
    running: usize,
    thread: i32,
    stats: Arc<Stats>,
}

/// Why nothing is accepted for a while.
#[derive(Debug, Clone, Copy)]
enum Pause {
    /// All seats are taken: until one is left.
    Full,
    /// Descriptors or memory are used up: until a seat is left, or that moment.
    Exhausted(Instant),
}

/// What a failed `accept` calls for.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    NobodyThere,
    Retry,
    Exhausted,
    OurMistake,
}

/// How many connections may wait to be accepted, where `net.core.somaxconn`
/// allows as many.
pub(crate) const BACKLOG: i32 = 65_535;
/// As long as a clock can look ahead: a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// How many connections are accepted before the mail is looked at again.
const BATCH: usize = 256;
/// How long to wait for descriptors or memory to come back.
const PAUSE: Duration = Duration::from_millis(50);
/// How much longer than the reactors the acceptor waits for the end of draining:
/// whoever has not ended by then is stuck in a handler.
const GRACE: Duration = Duration::from_millis(500);
/// How long the threads get to reset their connections when told to end now.
const STOP: Duration = Duration::from_millis(20);

impl<S> Acceptor<S> {
    /// An acceptor for a listener, which must be non-blocking.
    pub(crate) fn new(
        event_loop: EventLoop<Notice>,
        listener: TcpListener,
        seats: Arc<Seats>,
        reactors: Vec<Mailbox<Mail<S>>>,
        drain_timeout: Duration,
        stats: Arc<Stats>,
    ) -> io::Result<Acceptor<S>> {
        let mut watched = None;
        event_loop.poll.watch(&listener, Token::LISTENER, &mut watched, Interest::READABLE)?;
        let (running, pause, complained, end_by) = Default::default();
        let listener = Some(listener);
        let round_robin = RoundRobin::new(reactors.len());
        Ok(Acceptor {
            event_loop,
            listener,
            watched,
            reactors,
            round_robin,
            seats,
            pause,
            complained,
            drain_timeout,
            end_by,
            running,
            thread: sys::thread_id(),
            stats,
        })
    }

    /// Accepts on the calling thread until it is told to end, then waits for the
    /// `running` other threads to say that they have ended.
    ///
    /// # Errors
    /// A mistake of our own, here or in another thread.
    pub(crate) fn run(&mut self, running: usize, spin: Spin) -> io::Result<Ending> {
        (self.running, self.thread) = (running, sys::thread_id());
        self.serve(spin)
    }

    pub(crate) fn seats(&self) -> usize {
        self.seats.limit()
    }

    fn serve(&mut self, mut spin: Spin) -> io::Result<Ending> {
        let mut events = Events::with_capacity(8);
        while self.running > 0 {
            if self.end_by.is_some_and(|end| end <= Instant::now()) {
                return Ok(Ending::Forced);
            }
            spin.wait(&self.event_loop, &mut events, self.timeout())?;
            self.read_mail()?;
            for event in events.iter() {
                if event.token() == Token::LISTENER {
                    self.accept_some(BATCH)?;
                }
            }
            // After the bell is answered: a seat that is left from here on rings anew.
            self.resume()?;
        }
        Ok(self.ending())
    }

    fn read_mail(&mut self) -> io::Result<()> {
        for _ in 0..self.event_loop.inbox.acknowledge() {
            match self.event_loop.inbox.take() {
                Some(Notice::Drain) => self.drain()?,
                Some(Notice::Stop) => self.end_by(Duration::ZERO, STOP),
                Some(Notice::Ended(result)) => self.thread_ended(result)?,
                None => break,
            }
        }
        Ok(())
    }

    /// Accepts at most `most` connections, as long as there are some.
    fn accept_some(&mut self, most: usize) -> io::Result<()> {
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
                    match failure(&error) {
                        Failure::NobodyThere => return Ok(()),
                        Failure::Retry => self.stats.acceptor.retries.add(1),
                        Failure::Exhausted => return self.pause_while_exhausted(&error),
                        Failure::OurMistake => return Err(error),
                    }
                    failed = Some(error);
                }
            }
        }
        // A failure that does not go away must not keep this thread busy.
        failed.map_or(Ok(()), |error| self.pause_while_exhausted(&error))
    }

    fn deal(&mut self, socket: OwnedFd, address: SocketAddr, seat: Seat) {
        connection_log::opened(socket.as_raw_fd(), address, self.thread);
        let opened = self.stats.nanoseconds();
        self.stats.count_accept(opened);
        let socket = TcpStream::from(socket);
        let newcomer = Newcomer { socket, address, opened, seat };
        self.reactors[self.round_robin.next()].send(Mail::Adopt(newcomer));
    }

    fn pause_while_full(&mut self) -> io::Result<()> {
        self.seats.tell_of_next_leave();
        // A seat that was left just before that would not be told of.
        if self.seats.has_free() {
            return Ok(());
        }
        self.stats.acceptor.full.add(1);
        self.complain(format_args!(
            "{} connections are open, more have to wait",
            self.seats.limit()
        ));
        self.pause(Pause::Full)
    }

    fn pause_while_exhausted(&mut self, error: &io::Error) -> io::Result<()> {
        self.seats.tell_of_next_leave();
        self.stats.acceptor.exhausted.add(1);
        self.complain(format_args!("cannot accept, will try again: {error}"));
        self.pause(Pause::Exhausted(Instant::now() + PAUSE))
    }

    fn pause(&mut self, pause: Pause) -> io::Result<()> {
        self.pause = Some(pause);
        self.listen_for(Interest::NONE)
    }

    /// Accepts again, if there is hope.
    fn resume(&mut self) -> io::Result<()> {
        let hope = match self.pause {
            None => false,
            Some(Pause::Full) => self.seats.has_free(),
            Some(Pause::Exhausted(until)) => until <= Instant::now() || self.seats.was_told(),
        };
        if hope {
            self.pause = None;
            self.listen_for(Interest::READABLE)?;
        }
        Ok(())
    }

    fn listen_for(&mut self, interest: Interest) -> io::Result<()> {
        match &self.listener {
            Some(listener) => {
                self.event_loop.poll.watch(listener, Token::LISTENER, &mut self.watched, interest)
            }
            None => Ok(()),
        }
    }

    fn complain(&mut self, complaint: std::fmt::Arguments<'_>) {
        let now = Instant::now();
        if self.complained.is_none_or(|last| last + Duration::from_secs(1) <= now) {
            self.complained = Some(now);
            log::warn!("{complaint}");
        }
    }

    /// Those who wait to be accepted have been told by the kernel that they are
    /// connected, and may have sent: they are taken in before the door is closed,
    /// seats or no seats, as far as there are descriptors.
    fn drain(&mut self) -> io::Result<()> {
        if self.end_by.is_none() {
            self.pause = None;
            self.seats.add_for_all();
            self.accept_some(BACKLOG as usize)?;
            self.end_by(self.drain_timeout, GRACE);
        }
        Ok(())
    }

    /// Has the reactors end in that time, and waits for them a little longer.
    fn end_by(&mut self, time: Duration, patience: Duration) {
        let by = Instant::now() + time.min(LONGEST);
        self.listener = None;
        self.end_by = Some(by + patience);
        self.reactors.iter().for_each(|reactor| reactor.send(Mail::Drain(by)));
    }

    fn ending(&self) -> Ending {
        match self.stats.closed_for(Reason::Stop) {
            0 => Ending::Drained,
            _ => Ending::Forced,
        }
    }

    fn thread_ended(&mut self, result: io::Result<()>) -> io::Result<()> {
        self.running -= 1;
        match result {
            Ok(()) if self.end_by.is_none() => {
                Err(io::Error::other("a thread has ended too early"))
            }
            result => result,
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let pause = match self.pause {
            Some(Pause::Exhausted(until)) => Some(until),
            _ => None,
        };
        let next = [pause, self.end_by].into_iter().flatten().min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }
}

/// However it went, the reactors do not outlive it.
impl<S> Drop for Acceptor<S> {
    fn drop(&mut self) {
        self.end_by(Duration::ZERO, Duration::ZERO);
    }
}

fn failure(error: &io::Error) -> Failure {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => Failure::NobodyThere,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Failure::Exhausted,
        Some(libc::EBADF | libc::EFAULT | libc::EINVAL | libc::ENOTSOCK) => Failure::OurMistake,
        // What happened to one connection before it was accepted, which accept(2)
        // says to treat like EAGAIN, or an interruption.
        _ => Failure::Retry,
    }
}
