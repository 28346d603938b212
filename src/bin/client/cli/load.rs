//! The flags of a load, and the plan that they describe.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use clap::builder::{BoolishValueParser, RangedU64ValueParser};
use clap::error::{Error, ErrorKind};
use clap::{ArgMatches, Args, Command};
use reactor_server::load::{Arrival, Close, OnError, Plan, Sources, Think, Verify};
use reactor_server::program::framing::FramingFlag;
use reactor_server::program::{units, variables};

use super::body::BodyArgs;
use super::inputs::refuse_overwriting;
use super::results::ResultArgs;
use super::values;
use super::words::Meaning;
use crate::meter::CostSource;

const CONNECTIONS: &str = "Connections";
const MESSAGES: &str = "Messages";
pub(super) const RESULTS: &str = "Results";

/// The flags of a load, for every command that runs one or several.
#[derive(Debug, Clone, Args)]
pub(crate) struct LoadArgs {
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
    /// After a failure
    ///
    /// With `stop`, that is an error. With `reconnect`, the connection is opened again and goes on
    /// with its next message; the report shows how often that happened and how long the outages
    /// were. An outage is an error only if it does not end before the duration is over, or without
    /// --duration within --timeout.
    #[arg(long, value_enum, default_value_t = OnError::Stop, env = "CLIENT_ON_ERROR")]
    #[arg(help_heading = CONNECTIONS)]
    on_error: OnError,
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
    /// With --duration the default is no limit, with --hold alone it is no messages, and with
    /// --stream it is 1k blocks.
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
    /// Open all connections, and begin with messages at this moment
    ///
    /// TIME is in seconds since 1970, or as in 2030-01-31T21:00:00Z. Several clients that are given
    /// the same moment send at the same time, as far as their clocks agree.
    #[arg(long, value_name = "TIME", value_parser = values::moment, env = "CLIENT_START_AT")]
    #[arg(help_heading = MESSAGES)]
    pub(crate) start_at: Option<SystemTime>,
    /// Messages to send per second, in an open loop
    ///
    /// The rate is that of all connections together. Latency is measured from when a message was
    /// due.
    #[arg(long, value_name = "N/s", value_parser = values::rate, env = "CLIENT_RATE")]
    #[arg(help_heading = MESSAGES)]
    pub(super) rate: Option<u64>,
    /// Message arrivals [default: uniform]
    ///
    /// They spread the messages of --rate over time, and are the same in every run.
    #[arg(long, value_enum, env = "CLIENT_ARRIVAL", help_heading = MESSAGES)]
    arrival: Option<Arrival>,
    /// Time between a reply and the next message, in a closed loop
    ///
    /// With DUR,exp instead of DUR or DUR,fixed, the times are distributed exponentially with this
    /// mean. They are the same in every run.
    #[arg(long, value_name = "DUR", value_parser = values::think, env = "CLIENT_THINK")]
    #[arg(help_heading = MESSAGES)]
    think: Option<Think>,
    /// Messages of a connection that may be unanswered [default: 1]
    ///
    /// With --stream, of which N blocks may be under way, the default is 16.
    #[arg(long, value_name = "N", value_parser = values::pipeline)]
    #[arg(env = "CLIENT_PIPELINE", help_heading = MESSAGES)]
    pipeline: Option<usize>,
    /// Send and verify one stream of bytes on each connection
    ///
    /// Each connection sends as fast as its bytes come back, in blocks of --size, of which
    /// --pipeline may be under way. Every byte is verified when it arrives. The report shows bytes
    /// per second.
    #[arg(long, value_parser = BoolishValueParser::new(), env = "CLIENT_STREAM")]
    #[arg(help_heading = MESSAGES)]
    stream: bool,
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
    #[command(flatten)]
    body: BodyArgs,
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
    /// Where the cost of the server is read, if it is asked for. Each command has its own flags.
    #[arg(skip)]
    pub(crate) server: Option<CostSource>,
}

impl LoadArgs {
    /// Checks that the words of a command line and the flags make sense together.
    ///
    /// # Errors
    /// A usage error that says which do not.
    pub(super) fn checked(
        mut self,
        meaning: &Meaning,
        command: &mut Command,
        matches: &ArgMatches,
    ) -> Result<LoadArgs, Error> {
        let given = |name: &str| variables::is_given(matches, name);
        if let Some(conflict) = self.conflict(meaning, given) {
            return Err(variables::error(command, matches, ErrorKind::ArgumentConflict, conflict));
        }
        refuse_overwriting(self.body.file(), command, matches)?;
        self.body.read(self.framing).map_err(|problem| {
            variables::error(command, matches, ErrorKind::ValueValidation, &problem)
        })?;
        self.connections = meaning.connections.unwrap_or(self.connections);
        self.connect_rate = meaning.per_second.or(self.connect_rate);
        Ok(self)
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
        let needs_messages =
            (self.rate, self.warmup, self.reconnect_every, self.think) != (None, None, None, None);
        if is_silent && needs_messages {
            return Some(
                "--hold alone sends no messages for --rate, --warmup, --reconnect-every or --think: \
                 add --messages or --duration",
            );
        }
        if self.arrival.is_some() && self.rate.is_none() {
            return Some("--arrival spreads the messages of a rate: add --rate");
        }
        if self.think.is_some() && self.rate.is_some() {
            return Some("--think waits for replies, and --rate does not: give one of them");
        }
        if self.think.is_some() && self.pipeline.unwrap_or(1) > 1 {
            return Some("--think waits for each reply: it needs --pipeline 1");
        }
        let stream_conflict = if self.stream { self.stream_conflict() } else { None };
        stream_conflict
            .or_else(|| self.body.conflict())
            .or_else(|| self.framing.prefix_conflict(&self.reply_prefix))
    }

    /// What does not make sense with a stream, if anything.
    fn stream_conflict(&self) -> Option<&'static str> {
        if self.rate.is_some() || self.think.is_some() {
            return Some("--stream sends as fast as it can: give no --rate and no --think");
        }
        if self.framing != FramingFlag::Raw {
            return Some("--stream has no messages to frame: it needs --framing raw");
        }
        if self.verify == Verify::Length {
            return Some("--stream has no messages with a length: --verify is full or off");
        }
        self.body.has_sizes().then_some("--stream has blocks of one --size")
    }

    pub(crate) fn plan(&self, target: SocketAddr) -> Plan {
        let sources = if self.source.is_empty() {
            Sources::automatic(target, self.connections, self.reconnect_every.is_some())
        } else {
            self.sources()
        };
        let (size, pipeline) = if self.stream { (64 * 1024, 16) } else { (24, 1) };
        Plan {
            target,
            sources,
            connections: self.connections,
            threads: self.threads,
            messages: self.messages.or(self.default_messages()),
            duration: self.duration,
            warmup: self.warmup.unwrap_or_default(),
            rate: self.rate,
            arrival: self.arrival.unwrap_or(Arrival::Uniform),
            // Other clients begin at that moment, too.
            arrival_seed: self.start_at.map_or(0, |_| RandomState::new().hash_one(0) as u32),
            think: self.think,
            reconnect_every: self.reconnect_every,
            hold: self.hold,
            body: self.body.body(size),
            pipeline: self.pipeline.unwrap_or(pipeline),
            stream: self.stream,
            framing: self.framing.framing(),
            reply_prefix: self.reply_prefix.clone().into_bytes(),
            verify: self.verify,
            connect_rate: self.connect_rate,
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
            close: self.close,
            on_error: self.on_error,
        }
    }

    fn default_messages(&self) -> Option<u64> {
        match (self.duration, self.hold) {
            (Some(_), _) => None,
            (None, Some(_)) => Some(0),
            (None, None) if self.stream => Some(1000),
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
