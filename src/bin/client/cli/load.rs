//! The command line of a load, and the plan that it describes.

use std::net::SocketAddr;
use std::time::Duration;

use clap::builder::{BoolishValueParser, RangedU64ValueParser};
use clap::error::{Error, ErrorKind};
use clap::{ArgMatches, Command, Parser};
use reactor_server::load::{Close, Plan, Sources, Verify};
use reactor_server::program::framing::FramingFlag;
use reactor_server::program::target::Target;
use reactor_server::program::{units, variables};

use super::results::ResultArgs;
use super::values;
use super::words::{Meaning, Words};

const CONNECTIONS: &str = "Connections";
const MESSAGES: &str = "Messages";
const RESULTS: &str = "Results";

/// Put load on a TCP echo server, and verify every byte of its replies.
///
/// The client opens all connections. Each sends a message, waits for the reply, and sends the
/// next: a closed loop. With --rate, messages are sent on a schedule, whether or not replies
/// arrive: an open loop. Every message carries the numbers of its connection and of itself, so
/// that a lost, duplicated, swapped or foreign byte is detected.
///
/// Results go to standard output, everything else to standard error. The exit code is 0 if all
/// replies were verified, 1 after an error, a mismatch or no reply at all, 2 for wrong usage, 3 if a
/// --fail-if condition was met, and 130 if the client was interrupted. The results are printed in
/// any case.
#[derive(Debug, Parser)]
#[command(name = "client", version, max_term_width = 100, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true, override_usage = USAGE)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    words: Words,
    /// Check that descriptors, ports and memory suffice, and exit
    ///
    /// The client connects nowhere. It names each limit that is too low, and how to raise it.
    #[arg(long, value_parser = BoolishValueParser::new(), env = "CLIENT_CHECK")]
    pub(crate) check: bool,

    /// Connections to open
    #[arg(short, long, value_name = "N", value_parser = values::connections, default_value = "30")]
    #[arg(env = "CLIENT_CONNECTIONS", help_heading = CONNECTIONS)]
    connections: usize,
    /// Connections to open per second [default: no limit]
    #[arg(long, value_name = "N/s", value_parser = values::rate, env = "CLIENT_CONNECT_RATE")]
    #[arg(help_heading = CONNECTIONS)]
    connect_rate: Option<u64>,
    /// Give up a connection that takes longer to open
    #[arg(long, value_name = "DUR", value_parser = units::time, default_value = "5s")]
    #[arg(env = "CLIENT_CONNECT_TIMEOUT", help_heading = CONNECTIONS)]
    connect_timeout: Duration,
    /// Replace a connection by another after this many messages
    #[arg(long, value_name = "N", value_parser = units::positive, env = "CLIENT_RECONNECT_EVERY")]
    #[arg(help_heading = CONNECTIONS)]
    reconnect_every: Option<u64>,
    /// How to close
    ///
    /// A connection is closed after its last reply. With --reconnect-every, each closed connection
    /// keeps its local port for a minute, unless it ends by reset.
    #[arg(long, value_enum, default_value_t = Close::Fin, env = "CLIENT_CLOSE")]
    #[arg(help_heading = CONNECTIONS)]
    close: Close,
    /// Source addresses that connections use in turn
    ///
    /// By default the kernel chooses the address. If the server is on 127.0.0.0/8 and needs more
    /// ports than one address has, the client uses many addresses of 127.0.0.0/8.
    #[arg(long, value_name = "IP or A-B", value_parser = values::source, value_delimiter = ',')]
    #[arg(env = "CLIENT_SOURCE", help_heading = CONNECTIONS)]
    source: Vec<Sources>,
    /// Threads that share the connections
    ///
    /// Each thread has its own epoll.
    #[arg(long, value_name = "N", default_value_t = 1, env = "CLIENT_THREADS")]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    #[arg(help_heading = CONNECTIONS)]
    threads: usize,

    /// Messages to send on each connection [default: 100k]
    ///
    /// With --duration the default is no limit, and with --hold alone it is no messages.
    #[arg(short = 'n', long, value_name = "N", value_parser = units::positive)]
    #[arg(env = "CLIENT_MESSAGES", help_heading = MESSAGES)]
    messages: Option<u64>,
    /// Send messages for this long
    ///
    /// Afterwards the client waits for outstanding replies.
    #[arg(short, long, value_name = "DUR", value_parser = units::time, env = "CLIENT_DURATION")]
    #[arg(help_heading = MESSAGES)]
    duration: Option<Duration>,
    /// Send messages for this long before they count
    #[arg(long, value_name = "DUR", value_parser = units::time, env = "CLIENT_WARMUP")]
    #[arg(help_heading = MESSAGES)]
    warmup: Option<Duration>,
    /// Messages to send per second, in an open loop
    ///
    /// The rate is that of all connections together. Latency is measured from when a message was
    /// due.
    #[arg(long, value_name = "N/s", value_parser = values::rate, env = "CLIENT_RATE")]
    #[arg(help_heading = MESSAGES)]
    rate: Option<u64>,
    /// Messages of a connection that may be unanswered
    #[arg(long, value_name = "N", value_parser = values::pipeline, default_value = "1")]
    #[arg(env = "CLIENT_PIPELINE", help_heading = MESSAGES)]
    pipeline: usize,
    /// Give up a connection whose reply takes longer
    #[arg(long, value_name = "DUR", value_parser = units::time, default_value = "30s")]
    #[arg(env = "CLIENT_TIMEOUT", help_heading = MESSAGES)]
    timeout: Duration,
    /// Keep connections open and idle for this long at the end
    ///
    /// The hold starts when all messages have their replies. After it each connection sends one
    /// more message and closes. SIGUSR1 ends the hold early.
    #[arg(long, value_name = "DUR", value_parser = units::time, env = "CLIENT_HOLD")]
    #[arg(help_heading = MESSAGES)]
    hold: Option<Duration>,
    /// Bytes of a message, without framing
    #[arg(short, long, value_name = "SIZE", value_parser = values::message_size)]
    #[arg(default_value = "24", env = "CLIENT_SIZE", help_heading = MESSAGES)]
    size: usize,
    /// Message framing
    #[arg(long, value_enum, default_value_t = FramingFlag::Raw, env = "CLIENT_FRAMING")]
    #[arg(help_heading = MESSAGES)]
    framing: FramingFlag,
    /// Text that the server puts in front of each reply
    ///
    /// It needs --framing len32 or line.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    #[arg(env = "CLIENT_REPLY_PREFIX", help_heading = MESSAGES)]
    reply_prefix: String,
    /// Verify replies
    #[arg(long, value_enum, default_value_t = Verify::Full, env = "CLIENT_VERIFY")]
    #[arg(help_heading = MESSAGES)]
    verify: Verify,

    #[command(flatten)]
    pub(crate) results: ResultArgs,
    /// Report CPU and memory of the server, a process on this machine
    #[arg(long, value_name = "PID", env = "CLIENT_SERVER_PID", help_heading = RESULTS)]
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) server_pid: Option<i32>,
    /// Print progress this often
    ///
    /// A line on standard error has the rate and the latency of the interval, its errors, and the
    /// connections that are open at its end. It covers whole tenths of a second. A progress bar has
    /// the figures of the last second, or of the last interval if that is shorter.
    #[arg(long, value_name = "DUR", value_parser = values::interval, default_value = "10s")]
    #[arg(env = "CLIENT_INTERVAL", help_heading = RESULTS)]
    pub(crate) interval: Duration,
    /// Draw no progress bar
    #[arg(long, value_parser = BoolishValueParser::new(), env = "CLIENT_NO_PROGRESS")]
    #[arg(help_heading = RESULTS)]
    no_progress: bool,
    /// Print only the results
    #[arg(short, long, value_parser = BoolishValueParser::new(), env = "CLIENT_QUIET")]
    #[arg(help_heading = RESULTS)]
    quiet: bool,
}

const USAGE: &str = "\
client [OPTIONS] <HOST:PORT> [CONNECTIONS] [PER_SECOND]
       client [OPTIONS] <HOST> <PORT> [CONNECTIONS] [PER_SECOND]
       client report [OPTIONS] <FILE>...";

const EXAMPLES: &str = "\
Examples:
  100 connections for 10 seconds, as fast as the server replies:
    client localhost:9009 -c 100 -d 10s
  50,000 messages per second, and exit code 3 if the latency is too high:
    client localhost:9009 --rate 50k --warmup 1s -d 10s --fail-if 'p99>5ms'
  20,000 connections, 100 per second, held open for a minute:
    client 127.0.0.1:9009 20000 100 --hold 1m";

impl LoadArgs {
    /// Reads the words, checks that they and the flags make sense together, and returns the
    /// server as well.
    ///
    /// # Errors
    /// A usage error that says which do not.
    pub(crate) fn checked(
        mut self,
        command: &mut Command,
        matches: &ArgMatches,
    ) -> Result<(LoadArgs, Target), Error> {
        let given = |name: &str| variables::is_given(matches, name);
        let meaning = self.words.meaning(given("port")).map_err(|problem| {
            variables::error(command, matches, ErrorKind::ValueValidation, &problem)
        })?;
        if let Some(conflict) = self.conflict(&meaning, given) {
            return Err(variables::error(command, matches, ErrorKind::ArgumentConflict, conflict));
        }
        self.connections = meaning.connections.unwrap_or(self.connections);
        self.connect_rate = meaning.per_second.or(self.connect_rate);
        Ok((self, meaning.target))
    }

    /// What does not make sense together, if anything.
    fn conflict(&self, words: &Meaning, given: impl Fn(&str) -> bool) -> Option<&'static str> {
        if words.connections.is_some() && given("connections") {
            return Some("CONNECTIONS and --connections are the same: give one of them");
        }
        if words.per_second.is_some() && given("connect_rate") {
            return Some("PER_SECOND and --connect-rate are the same: give one of them");
        }
        // The addresses of a name are not known yet.
        if words.target.host.ip().is_some_and(|ip| !self.sources().match_family(ip)) {
            return Some("--source and the server's address must both be IPv4 or both be IPv6");
        }
        let is_silent = self.hold.is_some() && self.messages.is_none() && self.duration.is_none();
        if is_silent && (self.rate, self.warmup, self.reconnect_every) != (None, None, None) {
            return Some(
                "--hold alone sends no messages for --rate, --warmup or --reconnect-every: \
                 add --messages or --duration",
            );
        }
        self.framing.prefix_conflict(&self.reply_prefix)
    }

    pub(crate) fn plan(&self, target: SocketAddr) -> Plan {
        let sources = if self.source.is_empty() {
            Sources::automatic(target, self.connections, self.reconnect_every.is_some())
        } else {
            self.sources()
        };
        Plan {
            target,
            sources,
            connections: self.connections,
            threads: self.threads,
            messages: self.messages.or(self.default_messages()),
            duration: self.duration,
            warmup: self.warmup.unwrap_or_default(),
            rate: self.rate,
            reconnect_every: self.reconnect_every,
            hold: self.hold,
            size: self.size,
            pipeline: self.pipeline,
            framing: self.framing.framing(),
            reply_prefix: self.reply_prefix.clone().into_bytes(),
            verify: self.verify,
            connect_rate: self.connect_rate,
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
            close: self.close,
        }
    }

    fn default_messages(&self) -> Option<u64> {
        match (self.duration, self.hold) {
            (Some(_), _) => None,
            (None, Some(_)) => Some(0),
            (None, None) => Some(100_000),
        }
    }

    fn sources(&self) -> Sources {
        let mut sources = Sources::any();
        self.source.iter().for_each(|more| sources.append(more));
        sources
    }

    pub(crate) fn wants_bar(&self) -> bool {
        !self.quiet && !self.no_progress
    }

    pub(crate) fn wants_lines(&self) -> bool {
        !self.quiet
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }
}
