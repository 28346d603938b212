//! The command line of `client TARGET`.

use clap::builder::BoolishValueParser;
use clap::error::{Error, ErrorKind};
use clap::{ArgMatches, Command, Parser};
use reactor_server::program::generate::GenerateArgs;
use reactor_server::program::target::Target;
use reactor_server::program::variables;

use super::cost::CostArgs;
use super::exports::ExportArgs;
use super::load::LoadArgs;
use super::words::Words;

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
pub(super) struct SingleArgs {
    #[command(flatten)]
    words: Words,
    /// Check that descriptors, ports and memory suffice, and exit
    ///
    /// The client connects nowhere. It names each limit that is too low, and how to raise it.
    #[arg(long, value_parser = BoolishValueParser::new(), env = "CLIENT_CHECK")]
    pub(super) check: bool,
    #[command(flatten)]
    pub(super) generate: GenerateArgs,
    #[command(flatten)]
    pub(super) load: LoadArgs,
    #[command(flatten)]
    exports: ExportArgs,
    #[command(flatten)]
    cost: CostArgs,
}

pub(super) const USAGE: &str = "\
client [OPTIONS] <HOST:PORT> [CONNECTIONS] [PER_SECOND]
       client [OPTIONS] <HOST> <PORT> [CONNECTIONS] [PER_SECOND]
       client report [OPTIONS] <FILE>...
       client compare [OPTIONS] <[NAME=]TARGET> <[NAME=]TARGET>...
       client sweep [OPTIONS] <HOST:PORT>
       client log [OPTIONS] <FILE>...";

const EXAMPLES: &str = "\
Examples:
  100 connections for 10 seconds, as fast as the server replies:
    client localhost:9009 -c 100 -d 10s
  50,000 messages per second, and exit code 3 if the latency is too high:
    client localhost:9009 --rate 50k --warmup 1s -d 10s --fail-if 'p99>5ms'
  20,000 connections, 100 per second, held open for a minute:
    client 127.0.0.1:9009 20000 100 --hold 1m";

impl SingleArgs {
    /// Reads the words, checks that they and the flags make sense together, and returns the load
    /// and its server.
    ///
    /// # Errors
    /// A usage error that says which do not.
    pub(super) fn checked(
        self,
        command: &mut Command,
        matches: &ArgMatches,
    ) -> Result<(LoadArgs, ExportArgs, Target), Error> {
        let meaning = self.words.checked(command, matches)?;
        if self.check && self.exports.are_given() {
            let text = "--check has no results for --csv, --csv-timeline or --hgrm";
            return Err(variables::error(command, matches, ErrorKind::ArgumentConflict, text));
        }
        let mut load = self.load;
        load.server = self.cost.source();
        Ok((load.checked(&meaning, command, matches)?, self.exports, meaning.target))
    }
}
