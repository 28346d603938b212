//! Why a connection of a load failed.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::net::address::Ip;

/// Why a connection failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The source address cannot be used.
    Source(SocketAddr, io::Error),
    Connect(io::Error),
    /// No local port is free.
    NoPort(io::Error),
    ConnectTimeout,
    /// Nobody listens on this port of this machine, and the kernel chose it for the client.
    ToItself(u16),
    Broken(io::Error),
    /// The server closed it, with this many replies missing.
    Closed(u64),
    Timeout,
    /// The client has half-closed it, and the server does not close.
    NotClosed,
    /// The bytes received are not those expected.
    Mismatch(String),
}

const NO_PORTS: &str = "no local port is free (net.ipv4.ip_local_port_range); a closed \
                        connection keeps its port for a minute, unless --close rst; \
                        --source adds addresses";
const TO_ITSELF: &str = "the kernel connected the client to itself";

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Source(source, error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                let ip = Ip(*source);
                write!(f, "cannot connect from {ip}: {error}; it is no address of this machine")
            }
            Failure::Source(source, error) => {
                write!(f, "cannot connect from {}: {error}", Ip(*source))
            }
            Failure::NoPort(error) => write!(f, "cannot connect: {error}; {NO_PORTS}"),
            Failure::ToItself(port) => {
                write!(f, "cannot connect: nobody listens on port {port}: {TO_ITSELF}")
            }
            Failure::Connect(error) => write!(f, "cannot connect: {error}"),
            Failure::ConnectTimeout => write!(f, "cannot connect: no answer in time"),
            Failure::Broken(error) => write!(f, "the connection broke: {error}"),
            Failure::Closed(0) => write!(f, "the server closed a connection that was idle"),
            Failure::Closed(missing) => {
                write!(f, "the server closed a connection that had {missing} unanswered")
            }
            Failure::Timeout => write!(f, "no reply in time"),
            Failure::NotClosed => write!(f, "the server did not close after the last reply"),
            Failure::Mismatch(what) => write!(f, "wrong bytes: {what}"),
        }
    }
}

impl Failure {
    /// What it has in common with others, whose texts may differ.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Failure::Source(..) | Failure::Connect(_) | Failure::NoPort(_) => "cannot connect",
            Failure::ToItself(_) | Failure::ConnectTimeout => "cannot connect",
            Failure::Broken(_) => "the connection broke",
            Failure::Closed(_) => "the server closed a connection",
            Failure::Timeout => "no reply in time",
            Failure::NotClosed => "the server did not close",
            Failure::Mismatch(_) => "wrong bytes",
        }
    }

    pub(crate) fn is_mismatch(&self) -> bool {
        matches!(self, Failure::Mismatch(_))
    }

    /// Why the connection could not be opened, or `None` if it failed after that.
    pub(crate) fn connect_error(&self) -> Option<String> {
        match self {
            Failure::Source(_, error) | Failure::Connect(error) | Failure::NoPort(error) => {
                Some(error.to_string())
            }
            Failure::ToItself(_) => Some(TO_ITSELF.to_owned()),
            Failure::ConnectTimeout => Some("no answer in time".to_owned()),
            _ => None,
        }
    }
}
