//! The admin server: figures for Prometheus, probes, and a live page, over HTTP.
//!
//! It is a server of this project's own library, with one reactor. Its connections are not
//! among those of the server that it shows.

mod exposition;
mod http;
mod metrics;
mod tcp_states;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use reactor_server::program::logger::Logger;
use reactor_server::program::thread;
use reactor_server::{
    Config, ConnectionId, Framing, Handle, Handler, LogConnections, Reply, Server, Timeouts,
};

use crate::status::Status;
use http::{Request, Response};
use tcp_states::TcpStates;

/// A scraper, some probes and some open pages. Their descriptors are part of those that every
/// program keeps for itself.
const MOST_CONNECTIONS: usize = 16;
/// The longest request.
const MOST_BYTES: usize = 8 * 1024;
/// How long a request may take to arrive, and a response to be taken.
const SLOW: Duration = Duration::from_secs(5);
/// With more connections than this, each is closed once it is answered, so that a probe finds room.
const CROWD: u64 = MOST_CONNECTIONS as u64 / 2;
/// Short enough for connections that say nothing not to keep probes out for long.
const IDLE: Duration = Duration::from_secs(5);
/// How long the last responses may take when the program ends.
const END: Duration = Duration::from_millis(100);

/// The admin server, which runs until it is ended.
#[derive(Debug)]
pub(crate) struct Admin {
    pub(crate) address: SocketAddr,
    handle: Handle,
    thread: JoinHandle<()>,
}

/// Answers requests.
#[derive(Debug)]
struct Site {
    status: Arc<Status>,
    logger: Logger,
    tcp_states: TcpStates,
}

impl Admin {
    /// Listens, and answers on threads of its own from now on.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub(crate) fn start(
        address: SocketAddr,
        status: Arc<Status>,
        logger: Logger,
    ) -> io::Result<Admin> {
        let config = Config {
            name: "admin".to_owned(),
            address,
            io_threads: 1,
            framing: Framing::Delimited(b"\r\n\r\n".to_vec()),
            max_message: MOST_BYTES,
            max_connections: Some(MOST_CONNECTIONS),
            timeouts: Timeouts { message: Some(SLOW), write: Some(SLOW), idle: Some(IDLE) },
            drain_timeout: END,
            log_connections: LogConnections::None,
            ..Config::default()
        };
        let server =
            Server::bind(config, Site { status, logger, tcp_states: TcpStates::default() })?;
        let (address, handle) = (server.local_addr(), server.handle());
        let run = move || {
            if let Err(error) = server.run() {
                log::error!("the admin server has ended, and nobody answers probes: {error}");
            }
        };
        let thread = thread::start("admin".to_owned(), 1, run)?;
        Ok(Admin { address, handle, thread })
    }

    /// Answers what has arrived, and ends.
    pub(crate) fn end(self) {
        self.handle.drain();
        // It panics only by a mistake of the library, which the log has.
        let _ = self.thread.join();
    }
}

impl Site {
    fn respond(&self, path: &str) -> Response {
        let Site { status, logger, tcp_states } = self;
        match (path, status.serving()) {
            ("/", _) => Response::page(include_str!("page.html")),
            ("/livez", _) => Response::text("200 OK", "alive\n"),
            ("/readyz", _) if status.is_ready() => Response::text("200 OK", "ready\n"),
            ("/readyz", None) => Response::text("503 Service Unavailable", "starting\n"),
            ("/readyz", Some(_)) => Response::text("503 Service Unavailable", "draining\n"),
            ("/metrics", Some(serving)) => {
                Response::metrics(metrics::render(status, serving, tcp_states, logger.dropped()))
            }
            ("/metrics", None) => Response::text("503 Service Unavailable", "starting\n"),
            _ => Response::text("404 Not Found", "there are /, /metrics, /livez and /readyz\n"),
        }
    }
}

impl Handler for Site {
    type Session = ();

    fn opened(&self, _: ConnectionId, _: SocketAddr, _: &mut Reply<'_>) {}

    fn message(&self, _: &mut (), head: &[u8], reply: &mut Reply<'_>) {
        let is_crowded = reply.handle().stats().open(0) > CROWD;
        let (response, is_head, keeps_alive) = match Request::parse(head) {
            Ok(Request { path, is_head, keeps_alive }) => {
                (self.respond(&path), is_head, keeps_alive && !is_crowded)
            }
            Err(response) => (response, false, false),
        };
        reply.send_unframed(&[&response.encode(is_head, keeps_alive)]);
        if !keeps_alive {
            reply.close();
        }
    }
}
