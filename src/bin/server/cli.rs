//! The command line of `server`, and the configuration that it describes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{BoolishValueParser, RangedU64ValueParser};
use clap::error::{Error, ErrorKind};
use clap::{Command, CommandFactory, FromArgMatches, Parser};
use reactor_server::program::command_line::{
    env_in_long_help_only, negative_numbers_are_values, print_and_exit,
};
use reactor_server::program::framing::FramingFlag;
use reactor_server::program::generate::GenerateArgs;
use reactor_server::program::limits::cpus;
use reactor_server::program::stream::is_descriptor;
use reactor_server::program::target::{self, Host, Target};
use reactor_server::program::units::{self, Timeout};
use reactor_server::program::variables::{self, Parsed};
use reactor_server::{Config, Echo, LogConnections, Network, Proxy, ProxyProtocol, Timeouts};

const THREADS: &str = "Threads";
const MESSAGES: &str = "Messages";
const LIMITS: &str = "Limits";
const WATCHING: &str = "Watching";
const FLEET: &str = "Behind a proxy";
const SERVICE: &str = "Running as a service";

/// A multi-reactor TCP echo server.
///
/// The acceptor deals connections round-robin to I/O threads, each with its own epoll, which
/// echo what they receive. SIGTERM, SIGINT and SIGQUIT drain the server: it answers what has
/// arrived, then exits. A second signal stops it at once. SIGHUP reopens the log file, and
/// SIGUSR1 logs the counters.
#[derive(Debug, Parser)]
#[command(name = "server", version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// Address to listen on, with or without the port
    #[arg(long_help = IP)]
    #[arg(value_name = "IP", default_value = "127.0.0.1", env = "SERVER_IP")]
    #[arg(value_parser = target::host_and_port)]
    ip: (Host, Option<u16>),
    /// Port to listen on; 0 lets the kernel choose one
    ///
    /// The address with the chosen port is printed to standard output.
    #[arg(value_name = "PORT", default_value_t = 9009, env = "SERVER_PORT")]
    port: u16,

    /// I/O threads, each a reactor [default: one per CPU]
    ///
    /// Connection k goes to I/O thread k mod N.
    #[arg(short = 't', long, value_name = "N", env = "SERVER_IO_THREADS", help_heading = THREADS)]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..=4096))]
    io_threads: Option<usize>,
    /// Worker threads; with 0 the I/O threads handle messages
    ///
    /// Workers are for handlers that block or compute.
    #[arg(short, long, value_name = "N", default_value_t = 0, env = "SERVER_WORKERS")]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(0..=4096))]
    #[arg(help_heading = THREADS)]
    pub(crate) workers: usize,
    /// Busy-poll this long before blocking
    #[arg(long_help = BUSY_POLL)]
    #[arg(long, value_name = "DUR", value_parser = units::timeout, default_value = "off")]
    #[arg(env = "SERVER_BUSY_POLL", help_heading = THREADS)]
    busy_poll: Timeout,

    /// Message framing
    #[arg(long, value_enum, default_value_t = FramingFlag::Raw, env = "SERVER_FRAMING")]
    #[arg(help_heading = MESSAGES)]
    framing: FramingFlag,
    /// Text to put in front of each reply
    ///
    /// It needs --framing len32 or line.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    #[arg(env = "SERVER_REPLY_PREFIX", help_heading = MESSAGES)]
    reply_prefix: String,
    /// Pretend that each message takes this long to handle
    ///
    /// The thread that handles the message sleeps. Messages that arrive together are answered
    /// together.
    #[arg(long, value_name = "DUR", value_parser = units::duration, env = "SERVER_WORK")]
    #[arg(help_heading = MESSAGES)]
    work: Option<Duration>,
    /// Longest message accepted (len32, line)
    ///
    /// A longer message closes its connection.
    #[arg(long, value_name = "SIZE", value_parser = message_size, default_value = "1m")]
    #[arg(env = "SERVER_MAX_MESSAGE", help_heading = MESSAGES)]
    max_message: usize,

    /// Connections open at once [default: the descriptor limit]
    ///
    /// Further connections wait to be accepted. By default the server opens as many as the limit
    /// of open descriptors allows.
    #[arg(long, value_name = "N", value_parser = units::positive, env = "SERVER_MAX_CONNECTIONS")]
    #[arg(help_heading = LIMITS)]
    pub(crate) max_connections: Option<u64>,
    /// Close connections that are idle for this long
    #[arg(long, value_name = "DUR", value_parser = units::timeout, default_value = "off")]
    #[arg(env = "SERVER_IDLE_TIMEOUT", help_heading = LIMITS)]
    idle_timeout: Timeout,
    /// Close connections that take longer to complete a message
    ///
    /// The time starts with the first byte of the message.
    #[arg(long, value_name = "DUR", value_parser = units::timeout, default_value = "10s")]
    #[arg(env = "SERVER_FRAME_TIMEOUT", help_heading = LIMITS)]
    frame_timeout: Timeout,
    /// Reset connections that read no reply bytes for this long
    #[arg(long, value_name = "DUR", value_parser = units::timeout, default_value = "30s")]
    #[arg(env = "SERVER_WRITE_TIMEOUT", help_heading = LIMITS)]
    write_timeout: Timeout,
    /// Cut connections that take longer to drain
    #[arg(long, value_name = "DUR", value_parser = units::duration, default_value = "10s")]
    #[arg(env = "SERVER_DRAIN_TIMEOUT", help_heading = LIMITS)]
    drain_timeout: Duration,
    /// Go on accepting this long after the signal to drain
    ///
    /// It gives load balancers the time to notice, and to send new connections elsewhere.
    #[arg(long, value_name = "DUR", value_parser = units::duration, default_value = "0s")]
    #[arg(env = "SERVER_DRAIN_DELAY", help_heading = LIMITS)]
    pub(crate) drain_delay: Duration,
    /// Spread the closes of a drain over this long
    ///
    /// Clients that reconnect do not come back all at once. Each connection is served until its
    /// turn. --drain-timeout begins to count after this time.
    #[arg(long, value_name = "DUR", value_parser = units::duration, default_value = "0s")]
    #[arg(env = "SERVER_DRAIN_SPREAD", help_heading = LIMITS)]
    drain_spread: Duration,

    /// Append the log to a file instead of standard error
    ///
    /// With - the log goes to standard output. /dev/stdout, /dev/fd/3 and links to them work too,
    /// also where they are pipes or sockets.
    ///
    /// The environment variable RUST_LOG selects what is logged.
    #[arg(long, value_name = "PATH", env = "SERVER_LOG_FILE", help_heading = WATCHING)]
    log_file: Option<PathBuf>,
    /// Connections to log
    ///
    /// A probe that connects and closes leaves no line with "used". The counters count it.
    #[arg(long, value_name = "WHICH", value_enum, default_value_t = LogConnections::All)]
    #[arg(env = "SERVER_LOG_CONNECTIONS", help_heading = WATCHING)]
    log_connections: LogConnections,
    /// Log a line of figures this often
    ///
    /// It has the open connections, what was accepted, answered and transferred per second, the
    /// least and the most of it by I/O thread, and what had to wait or was dropped.
    #[arg(long, value_name = "DUR", value_parser = stats_interval, default_value = "off")]
    #[arg(env = "SERVER_STATS_INTERVAL", help_heading = WATCHING)]
    pub(crate) stats_interval: Timeout,
    /// Serve a live page, metrics and probes over HTTP
    #[arg(long_help = ADMIN)]
    #[arg(long, value_name = "ADDR", value_parser = admin_address, default_value = "off")]
    #[arg(env = "SERVER_ADMIN", help_heading = WATCHING)]
    pub(crate) admin: AdminAddress,

    /// Expect the PROXY protocol [default: off]
    ///
    /// Each connection then begins with a header of this version, by which a proxy names the client.
    /// The log and the counters have the client's address. A connection without a right header within
    /// 3 s is closed.
    #[arg(long, value_name = "VERSION", value_enum, env = "SERVER_PROXY_PROTOCOL")]
    #[arg(help_heading = FLEET)]
    pub(crate) proxy_protocol: Option<ProxyProtocol>,
    /// Networks of the proxies
    ///
    /// Connections from elsewhere are closed. Repeat the flag, or separate networks by commas.
    #[arg(long, value_name = "CIDR", value_delimiter = ',', env = "SERVER_PROXY_FROM")]
    #[arg(default_values_t = LOOPBACK.map(network), help_heading = FLEET)]
    proxy_from: Vec<Network>,

    /// Run in the background, once the server is ready
    ///
    /// The command returns when the server accepts connections, or with its error and its exit
    /// code. Give a --log-file too: what would go to standard error is lost.
    #[arg(long, value_parser = BoolishValueParser::new(), env = "SERVER_DAEMON")]
    #[arg(help_heading = SERVICE)]
    pub(crate) daemon: bool,
    /// Write the number of the server's process to a file, and lock it
    ///
    /// A second server with the same file does not start. The file is removed at the end.
    #[arg(long, value_name = "PATH", env = "SERVER_PID_FILE", help_heading = SERVICE)]
    pub(crate) pid_file: Option<PathBuf>,

    /// Print how many connections this machine can hold, and what limits it
    ///
    /// It changes nothing. With --max-connections it names each limit that is too low for that many,
    /// and how to raise it; the exit code is then 1.
    #[arg(long, value_parser = BoolishValueParser::new(), env = "SERVER_CHECK")]
    pub(crate) check: bool,

    #[command(flatten)]
    generate: GenerateArgs,

    /// What to know of variables that are ignored.
    #[arg(skip)]
    pub(crate) warnings: Vec<String>,
}

const IP: &str = "\
Address to listen on, with or without the port

It is an IPv4 or IPv6 address or a name: 0.0.0.0, [::1]:9009, fe80::1%eth0, localhost:9009. On :: \
the server accepts IPv6 and IPv4.";

const ADMIN: &str = "\
Serve a live page, metrics and probes over HTTP

ADDR is an address with a port, such as 127.0.0.1:9100. There are / (a live page), /metrics (for \
Prometheus), /livez (200 while the process runs) and /readyz (503 while it starts or drains). All \
who reach the address can read them.";

const BUSY_POLL: &str = "\
Busy-poll this long before blocking, while it pays and a CPU is free

With few connections it reduces the latency, on some machines to less than half.";

const EXAMPLES: &str = "\
Examples:
  Listen on all addresses with 4 I/O threads:
    server 0.0.0.0 9009 --io-threads 4
  Echo lines, each with a prefix:
    server --framing line --reply-prefix 'reply: '
  A slow handler on 8 worker threads:
    server --workers 8 --work 1ms";

impl Cli {
    /// Parses the command line. If it is wrong, prints the error and exits.
    pub(crate) fn parse_or_exit() -> Cli {
        let mut command = command();
        Cli::try_parse_with(&mut command)
            .unwrap_or_else(|error| print_and_exit(&error.format(&mut command)))
    }

    fn try_parse_with(command: &mut Command) -> Result<Cli, Error> {
        let words: Vec<_> = std::env::args_os().collect();
        let Parsed { matches, warnings } = variables::parse(command, &words)?;
        let mut cli = Cli::from_arg_matches(&matches)?;
        cli.warnings = warnings;
        let has_two_ports =
            cli.ip.1.is_some() && matches.value_source("port") == matches.value_source("ip");
        let log_is_descriptor = cli.log_file.as_deref().is_some_and(is_descriptor);
        let conflict = match has_two_ports {
            true => Some("[IP] and [PORT] both have a port: omit one of them"),
            false if cli.pid_file.is_some() && cli.pid_file == cli.log_file => {
                Some("--pid-file and --log-file are the same file")
            }
            false if cli.daemon && log_is_descriptor => {
                Some("--daemon leaves its standard streams: --log-file needs a file")
            }
            false => cli.framing.prefix_conflict(&cli.reply_prefix),
        };
        match conflict {
            Some(text) => {
                Err(variables::error(command, &matches, ErrorKind::ArgumentConflict, text))
            }
            None => Ok(cli),
        }
    }

    /// Where to listen.
    pub(crate) fn target(&self) -> Target {
        let (host, port) = &self.ip;
        Target { host: host.clone(), port: port.unwrap_or(self.port) }
    }

    /// The files that packages need, if they are asked for.
    pub(crate) fn generate(&self) -> Option<Result<(), String>> {
        self.generate.is_asked_for().then(|| self.generate.run(command()))
    }

    pub(crate) fn io_threads(&self) -> usize {
        self.io_threads.unwrap_or_else(cpus)
    }

    pub(crate) fn config(&self, address: SocketAddr) -> Config {
        Config {
            name: String::new(),
            address,
            io_threads: self.io_threads(),
            workers: self.workers,
            framing: self.framing.framing(),
            max_message: self.max_message,
            max_connections: self
                .max_connections
                .map(|most| usize::try_from(most).unwrap_or(usize::MAX)),
            timeouts: Timeouts {
                message: self.frame_timeout.0,
                write: self.write_timeout.0,
                idle: self.idle_timeout.0,
            },
            proxy: self.proxy_protocol.map(|protocol| {
                let from = self.proxy_from.clone();
                Proxy { protocol, from }
            }),
            drain_timeout: self.drain_timeout,
            drain_spread: self.drain_spread,
            busy_poll: self.busy_poll.0,
            tick: None,
            log_connections: self.log_connections,
            // The program handles these signals together with SIGHUP and SIGUSR1.
            drain_on_signals: false,
        }
    }

    pub(crate) fn handler(&self) -> Echo {
        Echo { prefix: self.reply_prefix.clone().into_bytes(), work: self.work.unwrap_or_default() }
    }

    pub(crate) fn has_log_file(&self) -> bool {
        self.log_file.is_some()
    }

    /// The file of the log; `None` for standard error, which a daemon has none of.
    pub(crate) fn log_file(&self) -> Option<&Path> {
        self.log_file.as_deref().or(self.daemon.then_some(Path::new("/dev/null")))
    }

    /// Whether the kernel chooses the port.
    pub(crate) fn has_any_port(&self) -> bool {
        self.target().port == 0
    }

    /// The name of the framing.
    pub(crate) fn framing(&self) -> &'static str {
        self.framing.name()
    }
}

/// More lines than ten per second could not be read, and would fill a disk.
fn stats_interval(text: &str) -> Result<Timeout, String> {
    match units::timeout(text)? {
        Timeout(Some(interval)) if interval < Duration::from_millis(100) => {
            Err("must be at least 100ms".to_owned())
        }
        interval => Ok(interval),
    }
}

/// The networks of this machine alone.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

fn network(text: &str) -> Network {
    text.parse().expect("a network")
}

/// Where the admin server listens, if it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AdminAddress(pub(crate) Option<Target>);

fn admin_address(text: &str) -> Result<AdminAddress, String> {
    if text == "off" {
        return Ok(AdminAddress(None));
    }
    match target::host_and_port(text)? {
        (host, Some(port)) => Ok(AdminAddress(Some(Target { host, port }))),
        (host, None) => Err(format!("the port is missing, as in {host}:9100")),
    }
}

fn command() -> Command {
    negative_numbers_are_values(env_in_long_help_only(Cli::command()))
}

/// The length of a reply, prefix included, must fit a `u32`.
fn message_size(text: &str) -> Result<usize, String> {
    match units::size(text)? {
        0 => Err("must be at least 1".to_owned()),
        size if size > 1 << 31 => Err("must be at most 2g".to_owned()),
        size => Ok(size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_help_has_one_line_per_flag() {
        let help = command().term_width(100).render_help().to_string();
        let continued = help.lines().find(|line| line.starts_with(&" ".repeat(20)));
        assert_eq!(continued, None, "{help}");
    }
}
