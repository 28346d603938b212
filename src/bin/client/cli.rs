//! The command line of `client`, and the plan it stands for.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{BoolishValueParser, RangedU64ValueParser};
use clap::error::{Error, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, ValueEnum};
use reactor_server::load::{Plan, Verify};
use reactor_server::program::units;
use reactor_server::program::wire::Wire;

/// A load client for echo servers that checks every byte that comes back.
///
/// It opens all connections, then sends on each a message, waits for the reply,
/// and sends the next: a closed loop. Every message carries its connection and
/// its number, so that a byte that is lost, doubled, swapped or foreign is seen.
///
/// Results go to standard output, everything else to standard error. The exit
/// code is 0 if all was verified, 1 after an error or a mismatch, 2 for wrong
/// usage, and 130 if it was interrupted; the results are printed all the same.
#[derive(Debug, Parser)]
#[command(name = "client", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// Address of the server, IPv4 or IPv6
    #[arg(value_name = "IP", env = "CLIENT_IP")]
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
    /// Messages to send on each connection [default: 100k, or no limit with --duration]
    #[arg(short = 'n', long, value_name = "N", value_parser = units::positive, env = "CLIENT_MESSAGES")]
    messages: Option<u64>,
    /// Send messages for this long, then wait for the replies that are due
    #[arg(short, long, value_name = "DUR", value_parser = units::time, env = "CLIENT_DURATION")]
    duration: Option<Duration>,
    /// Bytes of a message, framing not counted
    #[arg(short, long, value_name = "SIZE", value_parser = message_size, default_value = "24")]
    #[arg(env = "CLIENT_SIZE")]
    size: usize,
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
    /// Threads that share the connections, each with an epoll of its own
    #[arg(long, value_name = "N", default_value_t = 1, env = "CLIENT_THREADS")]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    threads: usize,
    /// Messages of a connection that may be unanswered
    #[arg(long, value_name = "N", value_parser = pipeline, default_value = "1")]
    #[arg(env = "CLIENT_PIPELINE")]
    pipeline: usize,
    /// How messages are told apart; with raw a reply is as long as its message was
    #[arg(long, value_enum, default_value_t = Wire::Raw, env = "CLIENT_FRAMING")]
    framing: Wire,
    /// Text that the server puts in front of each reply (len32, line)
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    #[arg(env = "CLIENT_REPLY_PREFIX")]
    reply_prefix: String,
    /// How replies are checked: every byte, their length, or not at all
    #[arg(long, value_enum, default_value_t = Check::Full, env = "CLIENT_VERIFY")]
    verify: Check,
    /// Percentiles of latency to report
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = percentile)]
    #[arg(default_value = "50,90,99,99.9", env = "CLIENT_PERCENTILES")]
    pub(crate) percentiles: Vec<f64>,
    /// Print the results as one JSON object
    #[arg(long, value_parser = BoolishValueParser::new(), env = "CLIENT_JSON")]
    pub(crate) json: bool,
    /// Write the results to this file instead of standard output
    #[arg(short, long, value_name = "FILE", env = "CLIENT_OUTPUT")]
    pub(crate) output: Option<PathBuf>,
    /// Draw no progress bar, even on a terminal
    #[arg(long, value_parser = BoolishValueParser::new(), env = "CLIENT_NO_PROGRESS")]
    no_progress: bool,
    /// Print nothing but the results
    #[arg(short, long, value_parser = BoolishValueParser::new(), env = "CLIENT_QUIET")]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Check {
    Full,
    Length,
    Off,
}

impl Cli {
    /// Reads the command line; where it makes no sense, says why and exits.
    pub(crate) fn parse_or_exit() -> Cli {
        let matches = Cli::command().get_matches();
        Cli::from_arg_matches(&matches)
            .and_then(|cli| cli.check(&matches))
            .unwrap_or_else(|error| error.format(&mut Cli::command()).exit())
    }

    fn check(self, matches: &ArgMatches) -> Result<Cli, Error> {
        let given = |name| matches.value_source(name) == Some(ValueSource::CommandLine);
        let twice = |one, other| given(one) && given(other);
        let problem = if twice("connections_too", "connections") {
            "CONNECTIONS and --connections are the same: give one of them"
        } else if twice("per_second", "connect_rate") {
            "PER_SECOND and --connect-rate are the same: give one of them"
        } else if let Some(problem) = self.framing.problem_with_prefix(&self.reply_prefix) {
            problem
        } else {
            return Ok(self);
        };
        Err(Cli::command().error(ErrorKind::ArgumentConflict, problem))
    }

    pub(crate) fn plan(&self) -> Plan {
        Plan {
            target: SocketAddr::new(self.ip, self.port),
            connections: self.connections_too.unwrap_or(self.connections),
            threads: self.threads,
            messages: self.messages.or(self.duration.is_none().then_some(100_000)),
            duration: self.duration,
            size: self.size,
            pipeline: self.pipeline,
            framing: self.framing.framing(),
            reply_prefix: self.reply_prefix.clone().into_bytes(),
            verify: match self.verify {
                Check::Full => Verify::Full,
                Check::Length => Verify::Length,
                Check::Off => Verify::Off,
            },
            connect_rate: self.per_second.or(self.connect_rate),
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
        }
    }

    pub(crate) fn wants_progress(&self) -> bool {
        !self.quiet && !self.no_progress
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// The framing and the way of verifying, by their names on the command line.
    pub(crate) fn names(&self) -> (&'static str, &'static str) {
        let verify = match self.verify {
            Check::Full => "full",
            Check::Length => "length",
            Check::Off => "off",
        };
        (self.framing.name(), verify)
    }
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
    units::positive(text.strip_suffix("/s").unwrap_or(text))
}

fn percentile(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.0..=100.0).contains(&value) => Ok(value),
        _ => Err("expected a number from 0 to 100".to_owned()),
    }
}
