//! The words of the command line that are no flags.

use std::net::IpAddr;

use clap::error::{Error, ErrorKind};
use clap::{ArgMatches, Args, Command};
use reactor_server::program::target::{self, Host, Target};
use reactor_server::program::variables;

use super::values;

/// The words, as they stand. Where TARGET includes the port, each later word is one place ahead.
#[derive(Debug, Args)]
pub(super) struct Words {
    /// Server: HOST:PORT, or HOST and PORT as two words
    #[arg(long_help = TARGET)]
    #[arg(value_name = "TARGET", value_parser = target::host_and_port, env = "CLIENT_IP")]
    target: Option<(Host, Option<u16>)>,
    /// Port of the server, if TARGET has none
    #[arg(value_name = "PORT", env = "CLIENT_PORT")]
    port: Option<String>,
    /// Same as --connections
    #[arg(value_name = "CONNECTIONS")]
    connections_positional: Option<String>,
    /// Same as --connect-rate
    #[arg(value_name = "PER_SECOND")]
    per_second: Option<String>,
}

/// What the words say.
#[derive(Debug)]
pub(super) struct Meaning {
    pub(super) target: Target,
    pub(super) connections: Option<usize>,
    pub(super) per_second: Option<u64>,
}

const TARGET: &str = "\
Server: HOST:PORT, or HOST and PORT as two words

HOST is a name or an address: localhost:9009, 127.0.0.1:9009, [::1]:9009, [fe80::1%eth0]:9009. \
Of a name with several addresses, the client uses the first that accepts a connection.";

const NO_TARGET: &str = "\
the client needs a server. Start one and give its address:
  server 127.0.0.1 9009
  client 127.0.0.1:9009";

impl From<Target> for Meaning {
    fn from(target: Target) -> Meaning {
        Meaning { target, connections: None, per_second: None }
    }
}

impl Words {
    /// Returns what they say.
    ///
    /// # Errors
    /// A usage error that says what is wrong with them.
    pub(super) fn checked(
        &self,
        command: &mut Command,
        matches: &ArgMatches,
    ) -> Result<Meaning, Error> {
        self.meaning(variables::is_given(matches, "port")).map_err(|problem| {
            variables::error(command, matches, ErrorKind::ValueValidation, &problem)
        })
    }

    /// Returns what they say, or what is wrong with them. PORT may be from the environment
    /// instead of the command line, and then no word follows it.
    fn meaning(&self, has_port_word: bool) -> Result<Meaning, String> {
        let (host, port) = self.target.clone().ok_or(NO_TARGET)?;
        let words = [&self.port, &self.connections_positional, &self.per_second];
        let (port, [connections, per_second, beyond]) = match port {
            Some(port) if has_port_word => (port, words),
            Some(port) => (port, [&None; 3]),
            None => (self.port(&host)?, [words[1], words[2], &None]),
        };
        if port == 0 {
            return Err("no server has port 0: expected a port from 1 to 65535".to_owned());
        }
        if let Some(word) = beyond {
            return Err(format!("unexpected argument '{word}'"));
        }
        Ok(Meaning {
            target: Target { host, port },
            connections: value(connections, "[CONNECTIONS]", values::connections)?,
            per_second: value(per_second, "[PER_SECOND]", values::rate)?,
        })
    }

    fn port(&self, host: &Host) -> Result<u16, String> {
        let missing = || {
            let example = match host.ip() {
                Some(IpAddr::V6(_)) => "[::1]:9009".to_owned(),
                _ => format!("{host}:9009"),
            };
            format!("{host} has no port: write HOST:PORT, as in {example}, or two words")
        };
        value(&self.port, "[PORT]", target::port)?.ok_or_else(missing)
    }
}

/// Parses a word, if there is one.
fn value<T>(
    word: &Option<String>,
    name: &str,
    parse: fn(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    let parse = |word: &String| {
        parse(word).map_err(|why| format!("invalid value '{word}' for '{name}': {why}"))
    };
    word.as_ref().map(parse).transpose()
}
