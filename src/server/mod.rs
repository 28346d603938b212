//! A server: binds, starts its threads, and waits for their end.

mod acceptor;
mod budget;
mod connection_id;
mod connection_log;
mod drain_turns;
mod ending;
mod handle;
mod handler;
mod handling;
mod listener_options;
mod mail;
mod notice;
mod patience;
mod peer;
mod phase;
mod push;
mod reactor;
mod round_robin;
mod seats;
mod shared;
mod shortage;
mod stats;
mod threads;
mod turn_times;
mod visit;
mod workers;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::net::busy_poll::{BusyPoll, FreeCpus};
use crate::net::mailbox::{EventLoop, Mailbox};
use crate::net::socket_option::SocketOption;
use crate::net::termination_signals::TerminationSignals;
use crate::program::limits::{connections_possible, cpus, descriptors_needed};
use crate::wire::codec::{Codec, Framing};
use acceptor::Acceptor;
use mail::Mail;
use reactor::Reactor;
use seats::Seats;
use shared::Shared;
use threads::Threads;
use workers::{JOBS_PER_REACTOR, Job, Workers, work};

pub use connection_id::ConnectionId;
pub use connection_log::LogConnections;
pub use ending::Ending;
pub use handle::{Handle, SendError, To};
pub use handler::{Echo, Handler, Reply};
pub use patience::Timeouts;
pub use push::WhenFull;
pub use stats::{AcceptorStats, ReactorStats, Stats};
pub use turn_times::SampledTurns;

/// How a server is set up.
///
/// ```
/// use reactor_server::{Config, Framing, Timeouts};
/// use std::time::Duration;
///
/// let default = Config::default();
/// let idle = Some(Duration::from_secs(60));
/// let timeouts = Timeouts { idle, ..default.timeouts };
/// // A later version may have more fields, so the rest is always taken from the default.
/// let config = Config { framing: Framing::Len32, timeouts, ..default };
/// # assert_eq!(config.timeouts.write, Some(Duration::from_secs(30)));
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on; 127.0.0.1:0 by default. With port 0 the kernel chooses a port.
    /// On `::` clients are served over IPv6 and IPv4.
    pub address: SocketAddr,
    /// How many reactors there are, each a thread; at least one. Connection k belongs to
    /// reactor k mod this number. By default one per CPU.
    pub io_threads: usize,
    /// How many workers handle messages. Without workers, the default, the reactors do.
    pub workers: usize,
    /// How messages are told apart; [`Framing::Raw`] by default.
    pub framing: Framing,
    /// The longest message accepted, in bytes, so that no peer can make the server hold
    /// more; 1 MiB by default. [`Framing::Raw`] has no longest message.
    pub max_message: usize,
    /// How many connections may be open at once. By default, and at most, as many as the
    /// limit of descriptors allows.
    pub max_connections: Option<usize>,
    /// How long a peer may be slow. By default 10 s with a message and 30 s with replies, and as
    /// idle as it likes.
    pub timeouts: Timeouts,
    /// How long a drain may take, besides `drain_spread`; 10 s by default. Then the remaining
    /// connections are reset.
    pub drain_timeout: Duration,
    /// Over how long a drain spreads the closes of connections, so that their peers do not all
    /// connect again in one instant; by default it closes them at once.
    ///
    /// Each reactor drains its connections one after the other, evenly over this time. Until its
    /// turn a connection is served as before, except that nothing can be pushed to it.
    pub drain_spread: Duration,
    /// How long a thread busy-polls before it blocks, while that pays and a CPU is free. By
    /// default a reactor does not poll, and the acceptor does for some microseconds.
    pub busy_poll: Option<Duration>,
    /// How often [`Handler::tick`] is called, from [`Server::bind`] on; never by default.
    pub tick: Option<Duration>,
    /// Which connections have lines in the log; all by default. They are written through the
    /// `log` crate, at level `info` and with the target `reactor_server::events`, and so need a
    /// logger that the program installs.
    pub log_connections: LogConnections,
    /// Whether SIGTERM, SIGINT and SIGQUIT drain the server, as [`Handle::drain`] does, and a
    /// second one stops it, as [`Handle::stop`] does; not by default.
    ///
    /// The first one does not stop a server that drains already. They are acted on also if the
    /// process was started with them ignored, as a shell's `&` has SIGINT and SIGQUIT.
    ///
    /// [`Server::bind`] then blocks these signals in the thread that calls it and in all that
    /// it starts from then on. Call it before the program starts other threads: a signal that
    /// reaches one of those ends the process at once. Child processes inherit the block.
    /// [`Server::run`] unblocks the signals in its thread when it returns. One server of a process
    /// can have this at a time.
    ///
    /// A server that says goodbye to its connections leaves this off: its program waits for the
    /// signals in a thread of its own, sends, and then drains.
    pub drain_on_signals: bool,
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
            drain_spread: Duration::ZERO,
            busy_poll: None,
            tick: None,
            log_connections: LogConnections::All,
            drain_on_signals: false,
        }
    }
}

/// A server that listens, and serves when it is [`run`](Server::run). Dropped before, it ends
/// its threads.
pub struct Server<H: Handler> {
    address: SocketAddr,
    // Dropped before the threads, which it tells to end.
    acceptor: Acceptor<H::Session>,
    threads: Threads,
    busy_poll: BusyPoll,
    handle: Handle,
}

impl<H: Handler> Server<H> {
    /// Starts all threads and then listens, so that the kernel queues connections from now on.
    ///
    /// # Errors
    /// The address is not available, descriptors are short, a thread cannot be started (the
    /// error names it), or a number in the configuration makes no sense
    /// ([`InvalidInput`](io::ErrorKind::InvalidInput)).
    pub fn bind(config: Config, handler: H) -> io::Result<Server<H>> {
        Server::start(config, handler, bound_socket)
    }

    /// As [`bind`](Server::bind), with a listener that there is already, such as one that was
    /// passed to this process. [`Config::address`] is not used.
    ///
    /// # Errors
    /// As [`bind`](Server::bind).
    pub fn from_listener(
        listener: TcpListener,
        config: Config,
        handler: H,
    ) -> io::Result<Server<H>> {
        Server::start(config, handler, |config| passed_socket(listener, config))
    }

    fn start(
        config: Config,
        handler: H,
        listener: impl FnOnce(&Config) -> io::Result<TcpListener>,
    ) -> io::Result<Server<H>> {
        check(&config)?;
        let signals = config.drain_on_signals.then(TerminationSignals::block).transpose()?;
        let listener = listener(&config)?;
        let address = listener.local_addr()?;
        let most = max_connections(&config)?;
        let (event_loop, mailbox) = EventLoop::new()?;
        let event_loops: io::Result<Vec<_>> =
            (0..config.io_threads).map(|_| EventLoop::new()).collect();
        let (reactors, mailboxes): (Vec<_>, Vec<_>) = event_loops?.into_iter().unzip();
        let seats = Seats::new(most, mailbox.waker());
        let codec = Codec::new(config.framing.clone(), config.max_message);
        let all = Box::new(mailboxes.clone());
        let handle = Handle::new(mailbox.clone(), all, config.io_threads, codec);
        let mut acceptor = Acceptor::new(
            event_loop,
            listener,
            seats,
            mailboxes.clone(),
            config.drain_timeout.saturating_add(config.drain_spread),
            config.log_connections,
            handle.clone(),
        )?;
        signals.map(|signals| acceptor.end_on(signals)).transpose()?;
        let free_cpus = FreeCpus::of(cpus());
        let busy_poll = BusyPoll::new(MOMENT, config.busy_poll, Arc::clone(&free_cpus));
        let threads = Threads::new(mailbox, config.workers.saturating_add(config.io_threads));
        let mut server = Server { address, acceptor, threads, busy_poll, handle };
        server.start_threads(&config, Arc::new(handler), reactors, mailboxes, &free_cpus)?;
        server.acceptor.listen()?;
        Ok(server)
    }

    /// Starts the workers and the reactors, and waits until all of them run.
    fn start_threads(
        &mut self,
        config: &Config,
        handler: Arc<H>,
        reactors: Vec<EventLoop<Mail<H::Session>>>,
        mailboxes: Vec<Mailbox<Mail<H::Session>>>,
        free_cpus: &Arc<FreeCpus>,
    ) -> io::Result<()> {
        let Config { timeouts, tick, drain_spread, .. } = *config;
        let (jobs, queue) = crossbeam_channel::bounded(JOBS_PER_REACTOR * reactors.len());
        let (running, all_running) = crossbeam_channel::unbounded();
        for number in 0..config.workers {
            let (queue, mailboxes, running) = (queue.clone(), mailboxes.clone(), running.clone());
            let (server, handler) = (self.handle.clone(), Arc::clone(&handler));
            self.threads.spawn(format!("worker-{number}"), move || {
                let send_back = |job: Box<Job<_>>| mailboxes[job.reactor].send(Mail::Finish(job));
                threads::report_running(running);
                work(&queue, &server, &*handler, send_back);
                Ok(())
            })?;
        }
        for (number, event_loop) in reactors.into_iter().enumerate() {
            let (server, handler) = (self.handle.clone(), Arc::clone(&handler));
            let workers =
                (config.workers > 0).then(|| Workers::new(jobs.clone(), number, JOBS_PER_REACTOR));
            let budget = HELD / config.io_threads;
            let busy_poll = BusyPoll::new(Duration::ZERO, config.busy_poll, Arc::clone(free_cpus));
            let running = running.clone();
            self.threads.spawn(format!("io-{number}"), move || {
                let shared = Shared::new(server, handler, workers, budget, number);
                let reactor = Reactor::new(event_loop, shared, timeouts, tick, drain_spread);
                threads::report_running(running);
                reactor.run(busy_poll)
            })?;
        }
        drop(running);
        self.threads.wait_until_running(&all_running)
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
        self.handle.clone()
    }

    /// Serves until it is told to end. The calling thread is the acceptor.
    ///
    /// # Errors
    /// A thread failed by a mistake of this crate. All connections are reset then.
    pub fn run(mut self) -> io::Result<Ending> {
        let ending = self.acceptor.run(self.threads.len(), self.busy_poll);
        if !matches!(ending, Ok(Ending::Drained)) {
            // One may be stuck in a handler.
            self.threads.detach();
        }
        ending
    }
}

impl<H: Handler> fmt::Debug for Server<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

fn check(config: &Config) -> io::Result<()> {
    let problem = match config {
        Config { io_threads: 0, .. } => "there must be at least one I/O thread",
        Config { max_connections: Some(0), .. } => "there must be at least one connection",
        Config { tick: Some(Duration::ZERO), .. } => "a tick must be longer than 0",
        Config { framing: Framing::Fixed(0), .. } | Config { max_message: 0, .. } => {
            "a message must have at least one byte"
        }
        Config { framing: Framing::Fixed(length), max_message, .. } if length > max_message => {
            "a message of fixed length is longer than the longest that is accepted"
        }
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
    let threads = config.io_threads.saturating_add(1);
    let needed = threads.saturating_mul(2).saturating_add(usize::from(config.drain_on_signals));
    let possible = connections_possible(needed);
    if possible == 0 {
        let least = descriptors_needed(1, needed);
        let problem = "the limit of open descriptors (ulimit -n) is too low for that many threads";
        return Err(io::Error::other(format!("{problem}: it must be at least {least}")));
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

/// A socket that is bound and does not listen yet.
fn bound_socket(config: &Config) -> io::Result<TcpListener> {
    let domain = Domain::for_address(config.address);
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    set_options(&socket, config.address.ip(), config);
    socket.bind(&config.address.into())?;
    Ok(socket.into())
}

/// A socket that may listen already.
fn passed_socket(listener: TcpListener, config: &Config) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let socket = Socket::from(listener);
    set_options(&socket, address.ip(), config);
    Ok(socket.into())
}

/// Sets the options that the kernel does not refuse.
fn set_options(socket: &Socket, address: IpAddr, config: &Config) {
    let options = listener_options::set(socket, address, config.timeouts);
    for warning in options.iter().filter_map(SocketOption::warning) {
        log::warn!("{warning}");
    }
}
