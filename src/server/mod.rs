//! A server: binds, starts its threads, and waits for their end.

mod acceptor;
mod budget;
mod config;
mod connection_id;
mod connection_log;
mod drain_turns;
mod ending;
mod handle;
mod handler;
mod handling;
mod listener_options;
mod lobby;
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
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::net::busy_poll::{BusyPoll, FreeCpus};
use crate::net::mailbox::{EventLoop, Mailbox};
use crate::net::socket_option::SocketOption;
use crate::net::termination_signals::TerminationSignals;
use crate::program::limits::{
    connections_possible, cpus, descriptors_needed, event_loop_descriptors,
};
use crate::wire::codec::Codec;
use acceptor::Acceptor;
use lobby::Lobby;
use mail::Mail;
use reactor::Reactor;
use seats::Seats;
use shared::Shared;
use threads::Threads;
use workers::{JOBS_PER_REACTOR, Job, Workers, work};

pub use config::Config;
pub use connection_id::ConnectionId;
pub use connection_log::LogConnections;
pub use ending::Ending;
pub use handle::{Handle, SendError, To};
pub use handler::{Echo, Handler, Reply};
pub use lobby::Proxy;
pub use patience::Timeouts;
pub use push::WhenFull;
pub use stats::{AcceptorStats, ReactorStats, Stats};
pub use turn_times::SampledTurns;

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
        config.check()?;
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
        let lobby = config.proxy.clone().map(|proxy| EventLoop::new().map(|it| (proxy, it)));
        let (lobby, first) = match lobby.transpose()? {
            Some((proxy, (event_loop, mailbox))) => (Some((proxy, event_loop)), vec![mailbox]),
            None => (None, mailboxes.clone()),
        };
        let mut acceptor = Acceptor::new(
            event_loop,
            listener,
            seats,
            first,
            &config,
            // A lobby logs them instead, when it knows the clients.
            if lobby.is_some() { LogConnections::None } else { config.log_connections },
            handle.clone(),
        )?;
        signals.map(|signals| acceptor.end_on(signals)).transpose()?;
        let free_cpus = FreeCpus::of(cpus());
        let busy_poll = BusyPoll::new(MOMENT, config.busy_poll, Arc::clone(&free_cpus));
        let wanted = config.workers.saturating_add(config.io_threads);
        let threads = Threads::new(mailbox, config.prefix("-"), wanted);
        let mut server = Server { address, acceptor, threads, busy_poll, handle };
        server.start_threads(
            &config,
            Arc::new(handler),
            reactors,
            mailboxes.clone(),
            &free_cpus,
        )?;
        if let Some((proxy, event_loop)) = lobby {
            server.start_lobby(proxy, event_loop, mailboxes, config.log_connections)?;
        }
        server.acceptor.listen()?;
        Ok(server)
    }

    /// Starts the thread that reads the headers of proxies.
    fn start_lobby(
        &mut self,
        proxy: Proxy,
        event_loop: EventLoop<Mail<H::Session>>,
        mailboxes: Vec<Mailbox<Mail<H::Session>>>,
        logged: LogConnections,
    ) -> io::Result<()> {
        let server = self.handle.clone();
        self.threads
            .spawn("lobby", move || Lobby::new(event_loop, proxy, mailboxes, server, logged).run())
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
            self.threads.spawn(&format!("worker-{number}"), move || {
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
            let moment = if config.workers > 0 { ONE_LOOK } else { Duration::ZERO };
            let busy_poll = BusyPoll::new(moment, config.busy_poll, Arc::clone(free_cpus));
            let running = running.clone();
            self.threads.spawn(&format!("io-{number}"), move || {
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

/// How many connections there may be: as many as were asked for, as far as the epolls and
/// wakers of all threads leave descriptors for them.
fn max_connections(config: &Config) -> io::Result<usize> {
    let event_loops = event_loop_descriptors(config.io_threads, config.proxy.is_some());
    let needed = event_loops.saturating_add(usize::from(config.drain_on_signals));
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

/// How long a reactor polls that has workers, which is once: while it fell asleep a worker would
/// be done with the next job, and have to wake it. Without workers a reactor blocks at once: to
/// yield the CPU first keeps some clients waiting for 15 ms where there are many reactors.
const ONE_LOOK: Duration = Duration::from_micros(1);

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
