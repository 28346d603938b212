//! The command line of `client`, and the plan it stands for.

use std::env;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{BoolishValueParser, RangedU64ValueParser};
use clap::error::{Error, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser};
use reactor_server::load::{Plan, Sources, Verify};
use reactor_server::program::framing::FramingFlag;
use reactor_server::program::units;

use crate::condition::Condition;

/// A load client for echo servers that checks every byte that comes back.
///
/// It opens all connections, then sends on each a message, waits for the reply,
/// and sends the next: a closed loop. With --rate it sends on a schedule instead,
/// whatever the server does: an open loop. Every message carries its connection and
/// its number, so that a byte that is lost, doubled, swapped or foreign is seen.
///
/// `client report FILE...` merges the JSON results of several clients.
///
/// Results go to standard output, everything else to standard error. The exit
/// code is 0 if all was verified, 1 after an error or a mismatch, 2 for wrong
/// usage, 3 if a --fail-if came true, and 130 if it was interrupted; the results
/// are printed all the same.
#[derive(Debug, Parser)]
#[command(name = "client", version, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Cli {
    /// Address of the server, IPv4 or IPv6
    #[arg(value_name = "IP", value_parser = address, env = "CLIENT_IP")]
    ip: IpAddr,
    /// Port of the server
    #[arg(value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), env = "CLIENT_PORT")]
    port: u16,
    /// The same as --connections
    #[arg(value_name = "CONNECTIONS", value_parser = connections)]
    connections_too: Option<usize>,
    /// The same as --connect-rate
    #[arg(value_name = "PER_SECOND", value_parser = units::positive)]
    per_second: Option<u64>,
    /// Connections to open
    #[arg(short, long, value_name = "N", value_parser = connections, default_value = "30")]
    #[arg(env = "CLIENT_CONNECTIONS")]
    connections: usize,
    /// Messages to send on each connection [default: 100k; no limit with --duration, none
    /// with --hold]
    #[arg(short = 'n', long, value_name = "N", value_parser = units::positive, env = "CLIENT_MESSAGES")]
    messages: Option<u64>,
    /// Send messages for this long, then wait for the replies that are due
    #[arg(short, long, value_name = "DUR", value_parser = units::time, env = "CLIENT_DURATION")]
    duration: Option<Duration>,
    /// Send messages for this long before any counts
    #[arg(long, value_name = "DUR", value_parser = units::time, env = "CLIENT_WARMUP")]
    warmup: Option<Duration>,
    /// Messages to send a second, over all connections: an open loop, whose latency is taken
    /// from when a message was due
    #[arg(long, value_name = "N/s", value_parser = rate, env = "CLIENT_RATE")]
    rate: Option<u64>,
    /// Messages of a connection that may be unanswered
    #[arg(long, value_name = "N", value_parser = pipeline, default_value = "1")]
    #[arg(env = "CLIENT_PIPELINE")]
    pipeline: usize,
    /// Messages after which a connection is closed and another opened in its place
    #[arg(long, value_name = "N", value_parser = units::positive, env = "CLIENT_RECONNECT_EVERY")]
    reconnect_every: Option<u64>,
    /// Keep the connections open, idle, for this long once all is said; then echo once on each
    /// and close. SIGUSR1 ends it early
    #[arg(long, value_name = "DUR", value_parser = units::time, env = "CLIENT_HOLD")]
    hold: Option<Duration>,
    /// Bytes of a message, framing not counted
    #[arg(short, long, value_name = "SIZE", value_parser = message_size, default_value = "24")]
    #[arg(env = "CLIENT_SIZE")]
    size: usize,
    /// How messages are told apart; with raw a reply is as long as its message was
    #[arg(long, value_enum, default_value_t = FramingFlag::Raw, env = "CLIENT_FRAMING")]
    framing: FramingFlag,
    /// Text that the server puts in front of each reply (len32, line)
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    #[arg(env = "CLIENT_REPLY_PREFIX")]
    reply_prefix: String,
    /// How replies are checked
    #[arg(long, value_enum, default_value_t = Verify::Full, env = "CLIENT_VERIFY")]
    verify: Verify,
    /// Connections to open a second [default: as fast as it goes]
    #[arg(long, value_name = "N/s", value_parser = rate, env = "CLIENT_CONNECT_RATE")]
    connect_rate: Option<u64>,
    /// How long a connection may take to open
    #[arg(long, value_name = "DUR", value_parser = units::time, default_value = "5s")]
    #[arg(env = "CLIENT_CONNECT_TIMEOUT")]
    connect_timeout: Duration,
    /// How long a reply may take
    #[arg(long, value_name = "DUR", value_parser = units::time, default_value = "30s")]
    #[arg(env = "CLIENT_TIMEOUT")]
    timeout: Duration,
    /// Addresses that connections come from, in turn [default: what the kernel chooses;
    /// many of 127.0.0.0/8 where a server on it needs more than the ports of one]
    #[arg(long, value_name = "IP or A-B", value_parser = source, value_delimiter = ',')]
    #[arg(env = "CLIENT_SOURCE")]
    source: Vec<(IpAddr, IpAddr)>,
    /// Threads that share the connections, each with an epoll of its own
    #[arg(long, value_name = "N", default_value_t = 1, env = "CLIENT_THREADS")]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    threads: usize,
    /// Process on this machine whose CPU and memory are the server's costs
    #[arg(long, value_name = "PID", env = "CLIENT_SERVER_PID")]
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) server_pid: Option<i32>,
    #[command(flatten)]
    pub(crate) results: Results,
    /// Draw no progress bar, even on a terminal
    #[arg(long, value_parser = BoolishValueParser::new(), env = "CLIENT_NO_PROGRESS")]
    no_progress: bool,
    /// Print nothing but the results
    #[arg(short, long, value_parser = BoolishValueParser::new(), env = "CLIENT_QUIET")]
    quiet: bool,
    /// Connect nowhere; say whether descriptors, ports and memory suffice, and what to do if
    /// they do not
    #[arg(long, value_parser = BoolishValueParser::new(), env = "CLIENT_CHECK")]
    pub(crate) check: bool,
}

/// What is made of the results: of a run, or of several that are merged.
#[derive(Debug, Args)]
pub(crate) struct Results {
    /// Percentiles of latency to report
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = percentile)]
    #[arg(default_value = "50,90,99,99.9,99.99", env = "CLIENT_PERCENTILES")]
    pub(crate) percentiles: Vec<f64>,
    /// Print the results as one JSON object
    #[arg(long, value_parser = BoolishValueParser::new(), env = "CLIENT_JSON")]
    pub(crate) json: bool,
    /// Write the results to this file instead of standard output
    #[arg(short, long, value_name = "FILE", env = "CLIENT_OUTPUT")]
    pub(crate) output: Option<PathBuf>,
    /// Exit with 3 if this is true of the results: 'p99>5ms', 'rate<100k', 'max>=1s'. It may
    /// be given again. Of p50 and the like, max, mean, rate, messages, errors, mismatches,
    /// failed and unsent
    #[arg(long, value_name = "CONDITION", value_parser = Condition::parse, env = "CLIENT_FAIL_IF")]
    #[arg(value_delimiter = ',')]
    pub(crate) fail_if: Vec<Condition>,
}

/// Merge the JSON results of several clients into one report
///
/// The clients must have run the same plan; how many connections each had, and to where, may
/// differ. Histograms are merged, so that percentiles are those of all messages together, and
/// the rate is taken over the time from the first message of any client to the last reply.
/// The exit code is that of a client with these results.
#[derive(Debug, Parser)]
#[command(name = "report")]
pub(crate) struct Merge {
    /// Results of `client --json`, or of `client report --json`
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Write a page with charts to this file, too
    #[arg(long, value_name = "FILE", env = "CLIENT_HTML")]
    pub(crate) html: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) results: Results,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Task {
    Run(Box<Cli>),
    Merge(Merge),
}

impl Task {
    /// Reads the command line; where it makes no sense, says why and exits.
    pub(crate) fn parse_or_exit() -> Task {
        // Before anything else, because the variables of a run do not concern it.
        if env::args_os().nth(1).is_some_and(|word| word == "report") {
            return Merge::parse_or_exit();
        }
        let mut command = Cli::command().subcommand(Merge::command());
        let matches = command.get_matches_mut();
        Cli::from_arg_matches(&matches)
            .and_then(|cli| cli.check(&matches))
            .map(|cli| Task::Run(Box::new(cli)))
            .unwrap_or_else(|error| error.format(&mut command).exit())
    }
}

impl Merge {
    fn parse_or_exit() -> Task {
        let mut command = Merge::command().bin_name("client report");
        let matches = command.try_get_matches_from_mut(env::args_os().skip(1));
        matches
            .and_then(|matches| Merge::from_arg_matches(&matches))
            .map(Task::Merge)
            .unwrap_or_else(|error| error.format(&mut command).exit())
    }
}

impl Cli {
    fn check(self, matches: &ArgMatches) -> Result<Cli, Error> {
        let given = |name: &str| matches.value_source(name) == Some(ValueSource::CommandLine);
        match self.problem(given) {
            Some(problem) => Err(Cli::command().error(ErrorKind::ArgumentConflict, problem)),
            None => Ok(self),
        }
    }

    /// What makes no sense together.
    fn problem(&self, given: impl Fn(&str) -> bool) -> Option<&'static str> {
        let twice = |one, other| given(one) && given(other);
        if twice("connections_too", "connections") {
            return Some("CONNECTIONS and --connections are the same: give one of them");
        }
        if twice("per_second", "connect_rate") {
            return Some("PER_SECOND and --connect-rate are the same: give one of them");
        }
        if !self.sources().suit(self.ip) {
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

    pub(crate) fn plan(&self) -> Plan {
        let target = SocketAddr::new(self.ip, self.port);
        let connections = self.connections_too.unwrap_or(self.connections);
        let sources = if self.source.is_empty() {
            Sources::by_themselves(target, connections, self.reconnect_every.is_some())
        } else {
            self.sources()
        };
        Plan {
            target,
            sources,
            connections,
            threads: self.threads,
            messages: self.messages.or(self.messages_by_default()),
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
            connect_rate: self.per_second.or(self.connect_rate),
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
        }
    }

    fn messages_by_default(&self) -> Option<u64> {
        match (self.duration, self.hold) {
            (Some(_), _) => None,
            (None, Some(_)) => Some(0),
            (None, None) => Some(100_000),
        }
    }

    fn sources(&self) -> Sources {
        let mut sources = Sources::any();
        for &(first, last) in &self.source {
            sources.add(first, last);
        }
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

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "expected an IP address, such as 127.0.0.1 or ::1".to_owned())
}

/// The numbers of connections are 32 bits wide in the messages.
fn connections(text: &str) -> Result<usize, String> {
    let count = units::positive(text)?;
    u32::try_from(count).map(|count| count as usize).map_err(|_| "too many".to_owned())
}

fn pipeline(text: &str) -> Result<usize, String> {
    match units::positive(text)? {
        depth if depth > 1_000_000 => Err("must be at most 1m".to_owned()),
        depth => Ok(depth as usize),
    }
}

fn message_size(text: &str) -> Result<usize, String> {
    match units::size(text)? {
        0 => Err("must be at least 1".to_owned()),
        size if size > 1 << 30 => Err("must be at most 1g".to_owned()),
        size => Ok(size),
    }
}

/// As a number, with or without the unit that says what it is.
fn rate(text: &str) -> Result<u64, String> {
    match units::positive(text.strip_suffix("/s").unwrap_or(text))? {
        rate if rate > 100_000_000 => Err("must be at most 100m".to_owned()),
        rate => Ok(rate),
    }
}

/// An address, or the first and the last of a range.
fn source(text: &str) -> Result<(IpAddr, IpAddr), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let address =
        |text: &str| text.trim().parse().map_err(|_| format!("{text:?} is no IP address"));
    let (first, last) = (address(first)?, address(last)?);
    match Sources::any().add(first, last) {
        true => Ok((first, last)),
        false => Err(format!("{first} to {last} is no range of addresses")),
    }
}

fn percentile(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.0..=100.0).contains(&value) => Ok(value),
        _ => Err("expected a number from 0 to 100".to_owned()),
    }
}
