//! How a server is set up.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::program::limits::cpus;
use crate::server::connection_log::LogConnections;
use crate::server::lobby::Proxy;
use crate::server::patience::Timeouts;
use crate::wire::codec::Framing;

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
    /// The name of this server, for a process that runs several; empty by default. It prefixes the
    /// names of its threads (`admin-io-0`), of which Linux shows 15 bytes, and the lines in the log
    /// that say that connections have to wait.
    pub name: String,
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
    /// The proxies in front of the server, which name their clients in the PROXY protocol; none by
    /// default. [`Handler::opened`] then gets the address of the client, and counters and log have
    /// it. A connection that does not begin with a right header within three seconds is closed.
    ///
    /// [`Handler::opened`]: crate::Handler::opened
    pub proxy: Option<Proxy>,
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
    /// default the acceptor polls for some microseconds, and a reactor once if there are workers.
    pub busy_poll: Option<Duration>,
    /// How often [`Handler::tick`] is called, from [`Server::bind`] on; never by default.
    ///
    /// [`Handler::tick`]: crate::Handler::tick
    /// [`Server::bind`]: crate::Server::bind
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
    ///
    /// [`Handle::drain`]: crate::Handle::drain
    /// [`Handle::stop`]: crate::Handle::stop
    /// [`Server::bind`]: crate::Server::bind
    /// [`Server::run`]: crate::Server::run
    pub drain_on_signals: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            name: String::new(),
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
            proxy: None,
            drain_timeout: Duration::from_secs(10),
            drain_spread: Duration::ZERO,
            busy_poll: None,
            tick: None,
            log_connections: LogConnections::All,
            drain_on_signals: false,
        }
    }
}

impl Config {
    /// The name and the separator, or nothing without a name.
    pub(crate) fn prefix(&self, separator: &str) -> String {
        match self.name.as_str() {
            "" => String::new(),
            name => format!("{name}{separator}"),
        }
    }

    /// # Errors
    /// A number or the name makes no sense.
    pub(crate) fn check(&self) -> io::Result<()> {
        let problem = match self {
            Config { name, .. } if name.contains('\0') => "a name must have no NUL",
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
}
