//! A server: binds, starts its threads, and waits for their end.

mod acceptor;
mod budget;
mod connection_log;
mod handling;
mod mail;
mod patience;
mod peer;
mod phase;
mod reactor;
mod read_again;
mod round_robin;
mod seats;
mod shared;
mod stats;
mod visit;
mod workers;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::net::busy_poll::{BusyPoll, FreeCpus};
use crate::net::mailbox::{EventLoop, Mailbox};
use crate::program::limits::{connections_possible, cpus};
use crate::wire::codec::{Codec, Framing};
use crate::wire::handler::Handler;
use acceptor::{Acceptor, BACKLOG, Notice};
use mail::Mail;
use reactor::Reactor;
use seats::Seats;
use shared::Shared;
use workers::{JOBS_PER_REACTOR, Job, Workers, work};

pub use acceptor::Ending;
pub use patience::Timeouts;
pub use stats::{AcceptorStats, ReactorStats, Stats};

/// How a server is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on. With port 0 the kernel chooses a port. On `::` clients are
    /// served over IPv6 and IPv4.
    pub address: SocketAddr,
    /// How many reactors there are, each a thread; at least one. Connection k belongs to
    /// reactor k mod this number.
    pub io_threads: usize,
    /// How many workers handle messages. Without workers the reactors do.
    pub workers: usize,
    /// How messages are told apart.
    pub framing: Framing,
    /// The longest message accepted, in bytes, so that no peer can make the server hold
    /// more.
    pub max_message: usize,
    /// How many connections may be open at once. By default, and at most, as many as the
    /// limit of descriptors allows.
    pub max_connections: Option<usize>,
    /// How long a peer may be slow.
    pub timeouts: Timeouts,
    /// How long a drain may take. Then the remaining connections are reset.
    pub drain_timeout: Duration,
    /// How long a thread busy-polls before it blocks, while that pays and a CPU is free. By
    /// default a reactor polls once more, and the acceptor for some microseconds.
    pub busy_poll: Option<Duration>,
    /// How often [`Handler::tick`] is called; never by default.
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

/// A server that listens, and serves when it is [`run`](Server::run).
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

/// Controls a server from any thread, and reads its figures.
#[derive(Debug, Clone)]
pub struct Handle {
    acceptor: Mailbox<Notice>,
    stats: Arc<Stats>,
}

impl Handle {
    /// Has the server accept no more connections, answer what arrived, close, and return
    /// from [`Server::run`].
    pub fn drain(&self) {
        self.acceptor.send(Notice::Drain);
    }

    /// Has the server reset all connections and return from [`Server::run`], without
    /// waiting for a handler that has not returned. Workers may still call the handler then,
    /// for the messages they have.
    pub fn stop(&self) {
        self.acceptor.send(Notice::Stop);
    }

    /// What was counted so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}

impl<H: Handler> Server<H> {
    /// Listens, so that the kernel queues connections from now on, and prepares everything
    /// that can fail.
    ///
    /// # Errors
    /// The address is not available, descriptors are short, or a number in the
    /// configuration makes no sense.
    pub fn bind(config: Config, handler: H) -> io::Result<Server<H>> {
        check(&config)?;
        let listener = listen(&config)?;
        let address = listener.local_addr()?;
        let (event_loop, mailbox) = EventLoop::new()?;
        let event_loops: io::Result<Vec<_>> =
            (0..config.io_threads).map(|_| EventLoop::new()).collect();
        let (reactors, mailboxes): (Vec<_>, Vec<_>) = event_loops?.into_iter().unzip();
        let seats = Seats::new(max_connections(&config)?, mailbox.waker());
        let stats = Arc::new(Stats::new(config.io_threads));
        let acceptor = Acceptor::new(
            event_loop,
            listener,
            seats,
            mailboxes.clone(),
            config.drain_timeout,
            Arc::clone(&stats),
        )?;
        let handler = Arc::new(handler);
        Ok(Server { config, handler, address, acceptor, mailbox, reactors, mailboxes, stats })
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// How many connections may be open at once.
    pub fn max_connections(&self) -> usize {
        self.acceptor.max_connections()
    }

    /// A handle that controls it while it runs.
    pub fn handle(&self) -> Handle {
        Handle { acceptor: self.mailbox.clone(), stats: Arc::clone(&self.stats) }
    }

    /// Serves until it is told to end. The calling thread is the acceptor.
    ///
    /// # Errors
    /// A thread did not start, or failed by a mistake of ours.
    pub fn run(self) -> io::Result<Ending> {
        let Server { config, handler, mut acceptor, mailbox, reactors, mailboxes, stats, .. } =
            self;
        let mut threads = Threads { acceptor: mailbox, handles: Vec::new() };
        let free_cpus = FreeCpus::of(cpus());
        let codec = Arc::new(Codec::new(config.framing, config.max_message));
        let (jobs, queue) = crossbeam_channel::bounded(JOBS_PER_REACTOR * reactors.len());
        for number in 0..config.workers {
            let (queue, mailboxes) = (queue.clone(), mailboxes.clone());
            let (codec, handler) = (Arc::clone(&codec), Arc::clone(&handler));
            threads.spawn(format!("worker-{number}"), move || {
                let send_back = |job: Box<Job<_>>| mailboxes[job.reactor].send(Mail::Finish(job));
                work(&queue, &codec, &*handler, send_back);
                Ok(())
            })?;
        }
        for (number, event_loop) in reactors.into_iter().enumerate() {
            let (codec, handler) = (Arc::clone(&codec), Arc::clone(&handler));
            let workers =
                (config.workers > 0).then(|| Workers::new(jobs.clone(), number, JOBS_PER_REACTOR));
            let (budget, stats) = (HELD / config.io_threads, Arc::clone(&stats));
            let busy_poll = BusyPoll::new(Duration::ZERO, config.busy_poll, Arc::clone(&free_cpus));
            threads.spawn(format!("io-{number}"), move || {
                let shared = Shared::new(codec, handler, workers, budget, number, stats);
                Reactor::new(event_loop, shared, config.timeouts, config.tick).run(busy_poll)
            })?;
        }
        drop(jobs);
        let busy_poll = BusyPoll::new(MOMENT, config.busy_poll, free_cpus);
        let ending = acceptor.run(threads.handles.len(), busy_poll)?;
        if ending == Ending::Drained {
            threads.join();
        }
        Ok(ending)
    }
}

impl<H: Handler> fmt::Debug for Server<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The threads of a server. Each notifies the acceptor when it ends.
#[derive(Debug)]
struct Threads {
    acceptor: Mailbox<Notice>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    fn spawn(
        &mut self,
        name: String,
        body: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let acceptor = self.acceptor.clone();
        let builder = thread::Builder::new().name(name.clone());
        self.handles.push(builder.spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(body))
                .unwrap_or_else(|_| Err(io::Error::other(format!("thread {name} panicked"))));
            acceptor.send(Notice::Ended(result));
        })?);
        Ok(())
    }

    /// Waits for threads that have notified their end.
    fn join(self) {
        for handle in self.handles {
            // It cannot have panicked: a panic of its body is caught.
            let _ = handle.join();
        }
    }
}

fn check(config: &Config) -> io::Result<()> {
    let problem = match config {
        Config { io_threads: 0, .. } => "there must be at least one I/O thread",
        Config { max_connections: Some(0), .. } => "there must be at least one connection",
        Config { tick: Some(Duration::ZERO), .. } => "a tick must be longer than 0",
        Config { framing: Framing::Fixed(0), .. } => "a message must have at least one byte",
        Config { framing: Framing::Delimited(delimiter), .. } if delimiter.is_empty() => {
            "a delimiter must have at least one byte"
        }
        _ => return Ok(()),
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
}

/// How many connections there may be: as many as were asked for, as far as the epolls and
/// wakers of all threads leave descriptors for them.
fn max_connections(config: &Config) -> io::Result<usize> {
    let needed = 2 * (config.io_threads + 1);
    let possible = connections_possible(needed)?;
    if possible == 0 {
        let problem = "the limit of open descriptors (ulimit -n) is too low for the threads alone";
        return Err(io::Error::other(format!("{problem}: they need {needed}, and some more")));
    }
    Ok(config.max_connections.map_or(possible, |wanted| wanted.min(possible)))
}

/// How long the acceptor polls for another connection, if there was one lately: about as
/// long as it takes to block and be woken. A client that connects has more to do, and should
/// not have to wake the acceptor for it.
const MOMENT: Duration = Duration::from_micros(20);

/// How many bytes all connections together may hold before each is read from in pieces of
/// [`REDUCED_READ`](budget::REDUCED_READ) bytes.
const HELD: usize = 16 * 1024 * 1024;

/// How long a connection may be silent before the kernel asks whether the peer still
/// exists, how often it asks again, and how many times.
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
    if config.address.ip() == Ipv6Addr::UNSPECIFIED {
        serve_ipv4_too(&socket)?;
    }
    socket.bind(&config.address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Has a socket that listens on all IPv6 addresses listen on all IPv4 addresses as well,
/// whatever `net.ipv6.bindv6only` is.
fn serve_ipv4_too(socket: &Socket) -> io::Result<()> {
    socket.set_only_v6(false).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot serve IPv4 there (IPV6_V6ONLY): {error}"))
    })
}

/// The kernel takes milliseconds in an `int`.
const LONGEST_USER_TIMEOUT: Duration = Duration::from_millis(i32::MAX as u64);

/// How long sent bytes may stay unacknowledged. The kernel also counts the time in which a
/// peer's window is closed, so the limit is never shorter than the server's own.
fn user_timeout(write: Option<Duration>) -> Option<Duration> {
    write.map(|write| write.clamp(Duration::from_secs(60), LONGEST_USER_TIMEOUT))
}
