//! A server: binds, starts its threads and sees them end.

pub(crate) mod acceptor;
pub(crate) mod connection_log;
pub(crate) mod dispatch;
pub(crate) mod mail;
pub(crate) mod patience;
pub(crate) mod peer;
pub(crate) mod reactor;
pub(crate) mod round_robin;
pub(crate) mod seats;
pub(crate) mod service;
pub(crate) mod stats;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::net::busy_poll::{FreeCpus, Spin};
use crate::net::mailbox::{EventLoop, Mailbox};
use crate::program::limits::connections_possible;
use crate::server::acceptor::{Acceptor, BACKLOG, Ending, Notice};
use crate::server::dispatch::{Dispatch, JOBS_A_REACTOR, work};
use crate::server::mail::Mail;
use crate::server::patience::Timeouts;
use crate::server::reactor::Reactor;
use crate::server::seats::Seats;
use crate::server::service::Service;
use crate::server::stats::Stats;
use crate::wire::codec::{Codec, Framing};
use crate::wire::handler::Handler;

/// What a server is to be like.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen. Port 0 has the kernel choose one.
    pub address: SocketAddr,
    /// How many reactors there are, each a thread; at least one.
    pub io_threads: usize,
    /// How many workers handle messages; with none the reactors do.
    pub workers: usize,
    /// How messages are told apart.
    pub framing: Framing,
    /// The longest message accepted, in bytes, so that no peer can make us hold
    /// more.
    pub max_message: usize,
    /// How many connections may be open at once; by default, and at most, what
    /// the limit of descriptors allows.
    pub max_connections: Option<usize>,
    /// How long a peer may be slow.
    pub timeouts: Timeouts,
    /// How long draining may take, after which connections are cut.
    pub drain_timeout: Duration,
    /// How long a thread with an epoll that has nothing to do looks for more before it
    /// sleeps, as long as that pays and a CPU is free. By default it looks once more, or
    /// for some microseconds if it accepts.
    pub busy_poll: Option<Duration>,
    /// How often [`Handler::tick`] is called, if it is.
    pub tick: Option<Duration>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            io_threads: cpus(),
            workers: 0,
            framing: Framing::Raw,
            max_message: 1024 * 1024,
            max_connections: None,
            timeouts: Timeouts {
                message: Some(Duration::from_secs(10)),
                write: Some(Duration::from_secs(30)),
                idle: None,
            },
            drain_timeout: Duration::from_secs(10),
            busy_poll: None,
            tick: None,
        }
    }
}

/// A server that listens, and serves once it is [`run`](Server::run).
pub struct Server<H: Handler> {
    config: Config,
    handler: Arc<H>,
    address: SocketAddr,
    acceptor: Acceptor<H::Session>,
    mailbox: Mailbox<Notice>,
    reactors: Vec<EventLoop<Mail<H::Session>>>,
    mailboxes: Vec<Mailbox<Mail<H::Session>>>,
    stats: Arc<Stats>,
}

/// Tells a server what to do, from any thread, and reads its figures.
#[derive(Debug, Clone)]
pub struct Handle {
    acceptor: Mailbox<Notice>,
    stats: Arc<Stats>,
}

impl Handle {
    /// Accepts no more connections, answers what has arrived, closes, and has
    /// [`Server::run`] return.
    pub fn drain(&self) {
        self.acceptor.send(Notice::Drain);
    }

    /// Resets all connections and has [`Server::run`] return, without waiting for
    /// a handler that has not returned.
    pub fn stop(&self) {
        self.acceptor.send(Notice::Stop);
    }

    /// What was counted so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}

impl<H: Handler> Server<H> {
    /// Listens, so that connections wait from now on, and makes ready all that
    /// can fail.
    ///
    /// # Errors
    /// The address cannot be had, there are no descriptors, or a number in the
    /// configuration makes no sense.
    pub fn bind(config: Config, handler: H) -> io::Result<Server<H>> {
        check(&config)?;
        let listener = listen(&config)?;
        let address = listener.local_addr()?;
        let (own_desk, mailbox) = EventLoop::new()?;
        let event_loops: io::Result<Vec<_>> =
            (0..config.io_threads).map(|_| EventLoop::new()).collect();
        let (reactors, mailboxes): (Vec<_>, Vec<_>) = event_loops?.into_iter().unzip();
        let seats = Seats::new(seats(&config)?, mailbox.waker());
        let stats = Arc::new(Stats::new(config.io_threads));
        let acceptor = Acceptor::new(
            own_desk,
            listener,
            seats,
            mailboxes.clone(),
            config.drain_timeout,
            Arc::clone(&stats),
        )?;
        let handler = Arc::new(handler);
        Ok(Server { config, handler, address, acceptor, mailbox, reactors, mailboxes, stats })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// How many connections may be open at once.
    pub fn max_connections(&self) -> usize {
        self.acceptor.seats()
    }

    /// For telling it to end while it runs.
    pub fn handle(&self) -> Handle {
        Handle { acceptor: self.mailbox.clone(), stats: Arc::clone(&self.stats) }
    }

    /// Serves, with the calling thread as the acceptor, until it is told to end.
    ///
    /// # Errors
    /// A thread could not be started, or has failed by a mistake of ours.
    pub fn run(self) -> io::Result<Ending> {
        let Server { config, handler, mut acceptor, mailbox, reactors, mailboxes, stats, .. } =
            self;
        let mut crew = Crew { acceptor: mailbox, threads: Vec::new() };
        let free = FreeCpus::of(cpus());
        let codec = Arc::new(Codec::new(config.framing, config.max_message));
        let (jobs, queue) = crossbeam_channel::bounded(JOBS_A_REACTOR * reactors.len());
        for number in 0..config.workers {
            let (queue, mailboxes) = (queue.clone(), mailboxes.clone());
            let (codec, handler) = (Arc::clone(&codec), Arc::clone(&handler));
            crew.spawn(format!("worker-{number}"), move || {
                work(&queue, &codec, &*handler, |job| mailboxes[job.reactor].send(Mail::Done(job)));
                Ok(())
            })?;
        }
        for (number, event_loop) in reactors.into_iter().enumerate() {
            let mut dispatch = Dispatch::inline(Arc::clone(&codec), Arc::clone(&handler));
            if config.workers > 0 {
                dispatch = dispatch.through(jobs.clone(), number, JOBS_A_REACTOR);
            }
            let (stats, spin) = (
                Arc::clone(&stats),
                Spin::new(Duration::ZERO, config.busy_poll, Arc::clone(&free)),
            );
            crew.spawn(format!("io-{number}"), move || {
                let service = Service::new(dispatch, number, HELD / config.io_threads, stats);
                Reactor::new(event_loop, service, config.timeouts, config.tick).run(spin)
            })?;
        }
        drop(jobs);
        let ending = acceptor.run(crew.threads.len(), Spin::new(MOMENT, config.busy_poll, free))?;
        if ending == Ending::Drained {
            crew.join();
        }
        Ok(ending)
    }
}

impl<H: Handler> fmt::Debug for Server<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The threads of a server. Each tells the acceptor of its end.
#[derive(Debug)]
struct Crew {
    acceptor: Mailbox<Notice>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    fn spawn(
        &mut self,
        name: String,
        body: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let acceptor = self.acceptor.clone();
        let builder = thread::Builder::new().name(name.clone());
        self.threads.push(builder.spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(body))
                .unwrap_or_else(|_| Err(io::Error::other(format!("thread {name} has panicked"))));
            acceptor.send(Notice::Ended(result));
        })?);
        Ok(())
    }

    /// Waits for threads that have said that they end.
    fn join(self) {
        for thread in self.threads {
            // It cannot have panicked: what it runs is contained.
            let _ = thread.join();
        }
    }
}

fn check(config: &Config) -> io::Result<()> {
    let problem = match config {
        Config { io_threads: 0, .. } => "there must be at least one I/O thread",
        Config { max_connections: Some(0), .. } => "there must be at least one connection",
        Config { tick: Some(Duration::ZERO), .. } => "a tick must be more than nothing",
        Config { framing: Framing::Fixed(0), .. } => "a message must have at least one byte",
        Config { framing: Framing::Delimited(delimiter), .. } if delimiter.is_empty() => {
            "a delimiter must have at least one byte"
        }
        _ => return Ok(()),
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
}

/// How many CPUs this process may run on.
fn cpus() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// How many connections there may be: as many as were asked for, if that many
/// descriptors are left by the epolls and bells of all threads.
fn seats(config: &Config) -> io::Result<usize> {
    let needed = 2 * (config.io_threads + 1);
    let possible = connections_possible(needed)?;
    if possible == 0 {
        let problem = "the limit of open descriptors (ulimit -n) is too low for the threads alone";
        return Err(io::Error::other(format!("{problem}: they need {needed}, and some more")));
    }
    Ok(config.max_connections.map_or(possible, |wanted| wanted.min(possible)))
}

/// How long the acceptor looks for another connection, if one was lately there: about
/// what it costs to go to sleep and wake up. A client that connects has more to do, and
/// should not have to wake us for it.
const MOMENT: Duration = Duration::from_micros(20);

/// How many bytes all connections may hold before they are read from in pieces of
/// [`SLIM`](crate::net::connection::SLIM): thousands of peers that never take their
/// replies are to cost a few KiB each, not a whole read.
const HELD: usize = 16 * 1024 * 1024;

/// How long a connection may be silent before the kernel asks whether the peer is
/// still there, how often it then asks, and how many times.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(10), 6);

/// Listens, with the options that accepted sockets inherit.
fn listen(config: &Config) -> io::Result<TcpListener> {
    let domain = Domain::for_address(config.address);
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    // A port that was just released can be used at once.
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    let (time, interval, retries) = KEEPALIVE;
    let keepalive = TcpKeepalive::new().with_time(time).with_interval(interval);
    socket.set_tcp_keepalive(&keepalive.with_retries(retries))?;
    socket.set_tcp_user_timeout(user_timeout(config.timeouts.write))?;
    socket.bind(&config.address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The kernel wants milliseconds in an `int`.
const LONGEST_USER_TIMEOUT: Duration = Duration::from_millis(i32::MAX as u64);

/// How long sent bytes may stay unacknowledged. The kernel counts the time that a
/// peer's window is closed too, so a slow reader gets no less than from us.
fn user_timeout(write: Option<Duration>) -> Option<Duration> {
    write.map(|write| write.clamp(Duration::from_secs(60), LONGEST_USER_TIMEOUT))
}
