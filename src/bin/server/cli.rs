//! The command line of `server`, and the configuration it stands for.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::error::{Error, ErrorKind};
use clap::{CommandFactory, Parser};
use reactor_server::program::framing::FramingFlag;
use reactor_server::program::units::{self, Timeout};
use reactor_server::{Config, Echo, Timeouts};

/// A multi-reactor TCP echo server.
///
/// An acceptor deals connections round-robin to I/O threads, each with an epoll
/// of its own, and what comes in goes out again. SIGTERM, SIGINT and SIGQUIT
/// drain: what has arrived is answered; a second one stops at once. SIGHUP
/// reopens the log file, SIGUSR1 logs the counters.
#[derive(Debug, Parser)]
#[command(name = "server", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// Address to listen on, IPv4 or IPv6
    #[arg(value_name = "IP", default_value = "127.0.0.1", env = "SERVER_IP")]
    ip: IpAddr,
    /// Port to listen on; 0 has the kernel choose one, which is printed
    #[arg(value_name = "PORT", default_value_t = 9009, env = "SERVER_PORT")]
    port: u16,
    /// I/O threads, each a reactor [default: one a CPU]
    #[arg(short = 't', long, value_name = "N", env = "SERVER_IO_THREADS")]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..=4096))]
    io_threads: Option<usize>,
    /// Worker threads that handle messages; 0 handles them on the I/O threads
    #[arg(short, long, value_name = "N", default_value_t = 0, env = "SERVER_WORKERS")]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(0..=4096))]
    workers: usize,
    /// How messages are told apart
    #[arg(long, value_enum, default_value_t = FramingFlag::Raw, env = "SERVER_FRAMING")]
    framing: FramingFlag,
    /// Text to put in front of each reply (len32, line)
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    #[arg(env = "SERVER_REPLY_PREFIX")]
    reply_prefix: String,
    /// Pretend that each message takes this long to handle: its thread sleeps. Messages that arrive
    /// together are answered together
    #[arg(long, value_name = "DUR", value_parser = units::duration, env = "SERVER_WORK")]
    work: Option<Duration>,
    /// Connections open at once; more wait to be accepted [default: what the descriptor limit allows]
    #[arg(long, value_name = "N", value_parser = units::positive, env = "SERVER_MAX_CONNECTIONS")]
    max_connections: Option<u64>,
    /// The longest message accepted (len32, line); a longer one closes its connection
    #[arg(long, value_name = "SIZE", value_parser = message_size, default_value = "1m")]
    #[arg(env = "SERVER_MAX_MESSAGE")]
    max_message: usize,
    /// Close connections on which nothing comes or goes for this long
    #[arg(long, value_name = "DUR", value_parser = units::timeout, default_value = "off")]
    #[arg(env = "SERVER_IDLE_TIMEOUT")]
    idle_timeout: Timeout,
    /// Close connections that take longer to send a message they have begun
    #[arg(long, value_name = "DUR", value_parser = units::timeout, default_value = "10s")]
    #[arg(env = "SERVER_FRAME_TIMEOUT")]
    frame_timeout: Timeout,
    /// Reset connections that take no byte of their replies for this long
    #[arg(long, value_name = "DUR", value_parser = units::timeout, default_value = "30s")]
    #[arg(env = "SERVER_WRITE_TIMEOUT")]
    write_timeout: Timeout,
    /// How long draining may take; then the connections that are left are cut
    #[arg(long, value_name = "DUR", value_parser = units::duration, default_value = "10s")]
    #[arg(env = "SERVER_DRAIN_TIMEOUT")]
    drain_timeout: Duration,
    /// Have threads with nothing to do look for more for this long before they sleep, as long as that
    /// pays and a CPU is free: less than half the latency with few connections
    #[arg(long, value_name = "DUR", value_parser = units::timeout, default_value = "off")]
    #[arg(env = "SERVER_BUSY_POLL")]
    busy_poll: Timeout,
    /// Append the log to this file instead of standard error; RUST_LOG says what is logged
    #[arg(long, value_name = "PATH", env = "SERVER_LOG_FILE")]
    pub(crate) log_file: Option<PathBuf>,
}

impl Cli {
    /// Makes sure that the flags make sense together.
    ///
    /// # Errors
    /// A usage error, which says what does not.
    pub(crate) fn check(self) -> Result<Cli, Error> {
        match self.framing.problem_with_prefix(&self.reply_prefix) {
            Some(problem) => Err(Cli::command().error(ErrorKind::ArgumentConflict, problem)),
            None => Ok(self),
        }
    }

    pub(crate) fn config(&self) -> Config {
        let default = Config::default();
        Config {
            address: SocketAddr::new(self.ip, self.port),
            io_threads: self.io_threads.unwrap_or(default.io_threads),
            workers: self.workers,
            framing: self.framing.framing(),
            max_message: self.max_message,
            max_connections: self.max_connections.map(|most| most as usize),
            timeouts: Timeouts {
                message: self.frame_timeout.0,
                write: self.write_timeout.0,
                idle: self.idle_timeout.0,
            },
            drain_timeout: self.drain_timeout,
            busy_poll: self.busy_poll.0,
            tick: None,
        }
    }

    pub(crate) fn handler(&self) -> Echo {
        Echo { prefix: self.reply_prefix.clone().into_bytes(), work: self.work.unwrap_or_default() }
    }

    /// Whether the kernel chooses the port.
    pub(crate) fn asks_for_any_port(&self) -> bool {
        self.port == 0
    }

    /// The framing by its name.
    pub(crate) fn framing(&self) -> &'static str {
        self.framing.name()
    }
}

/// A reply, prefix and all, has to fit a `u32` length.
fn message_size(text: &str) -> Result<usize, String> {
    match units::size(text)? {
        0 => Err("must be at least 1".to_owned()),
        size if size > 1 << 31 => Err("must be at most 2g".to_owned()),
        size => Ok(size),
    }
}
