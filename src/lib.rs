//! A multi-reactor TCP server on raw epoll, to build a server of your own on. Linux only.
//!
//! One thread, the *acceptor*, accepts connections and deals them round-robin to
//! *reactors*: threads that each own an epoll, their connections and a mailbox. A reactor
//! reads what a connection sends, cuts it into messages, has a [`Handler`] answer them and
//! writes the replies. For handlers that block or compute, *workers* answer them instead,
//! and the replies return by mail. What a thread owns no other thread touches.
//!
//! ```text
//!              +----------------------+
//!  connect --> | acceptor             |  the thread that calls Server::run
//!              +----------------------+
//!                |         |          connection k to reactor k mod N
//!                v         v
//!              +---------+---------+--
//!    bytes --> | reactor | reactor |    an epoll and its connections each:
//!  replies <-- |    0    |    1    |    read, frame, Handler::message, write
//!              +---------+---------+--
//!                |    ^
//!       messages |    | replies         with workers only
//!                v    |
//!              +---------+---------+--
//!              | worker  | worker  |    Handler::message, which may block here
//!              |    0    |    1    |
//!              +---------+---------+--
//! ```
//!
//! # A whole server
//!
//! It answers each line in capitals. SIGTERM, SIGINT and SIGQUIT drain it: what has arrived
//! is answered, then the process exits with 0.
//!
//! ```no_run
//! use reactor_server::{Config, ConnectionId, Ending, Framing, Handler, Reply, Server};
//! use std::net::SocketAddr;
//!
//! struct Upper;
//!
//! impl Handler for Upper {
//!     type Session = ();
//!     fn opened(&self, _: ConnectionId, _: SocketAddr, _: &mut Reply<'_>) {}
//!     fn message(&self, _: &mut (), line: &[u8], reply: &mut Reply<'_>) {
//!         reply.send(&[&line.to_ascii_uppercase()]);
//!     }
//! }
//!
//! fn main() -> std::io::Result<Ending> {
//!     let (address, framing) = (([127, 0, 0, 1], 9009).into(), Framing::line());
//!     let config = Config { address, framing, drain_on_signals: true, ..Config::default() };
//!     Server::bind(config, Upper)?.run()
//! }
//! ```
//!
//! A [`Handle`] sends to connections and ends a server, from any thread, for instance in a test:
//!
//! ```
//! use reactor_server::{Config, ConnectionId, Echo, Ending, Framing, Server};
//! use std::io::{Read, Write};
//!
//! let config = Config { framing: Framing::line(), ..Config::default() };
//! let server = Server::bind(config, Echo::default())?;
//! let (address, handle) = (server.local_addr(), server.handle());
//! let thread = std::thread::spawn(|| server.run());
//!
//! let mut stream = std::net::TcpStream::connect(address)?;
//! stream.write_all(b"hello\n")?;
//! handle.drain();
//! let mut reply = String::new();
//! stream.read_to_string(&mut reply)?;
//! assert_eq!(reply, "hello\n");
//!
//! drop(stream);
//! assert_eq!(thread.join().expect("no panic")?, Ending::Drained);
//! # std::io::Result::Ok(())
//! ```
//!
//! # What is in the crate
//!
//! | you want to | look at |
//! |---|---|
//! | answer messages | [`Handler`], [`Reply`]; [`Echo`] is one handler |
//! | send to a connection at any time, or close it | [`Handle::send`], [`ConnectionId`], [`To`], [`WhenFull`], [`SendError`] |
//! | choose threads, framing and limits | [`Config`], [`Framing`], [`Timeouts`], [`LogConnections`] |
//! | start and end a server | [`Server`], [`Handle`], [`Ending`] |
//! | know what happened | [`Stats`], [`Reason`] |
//!
//! In the repository, `examples/` has small servers to start from, `docs/design.md` follows a
//! message, a connection and a drain through the code, and `docs/reliability.md` lists what
//! the server promises and the bounds on its memory.
//!
//! # Features
//!
//! The programs are on by default. Without them (`default-features = false`) the library is
//! the server alone, and has six dependencies.
//!
//! | feature | what it adds |
//! |---|---|
//! | `server`, `client` | the two programs: the echo server, and the load client that proves it |
//! | `load`, `program` | what the programs are made of |
//! | `parts` | the module `parts`: the pieces of the event loop |
//!
//! # Versions
//!
//! Rust 1.88 or later. A change that breaks code which uses the items on this page, or that
//! needs a later Rust, raises the second number of the version, from 0.1 to 0.2. Two things
//! do not count as such a change: a new field of [`Config`], so end it with
//! `..Config::default()`, and a new [`Reason`] or [`SendError`]. The features `load`, `program`
//! and `parts` have no such promise, nor have the modules that this page does not list.

// Without the feature `parts`, nobody outside can name what it shows, nor call all of it.
#![cfg_attr(not(feature = "parts"), allow(unreachable_pub, dead_code))]

#[cfg(feature = "load")]
#[doc(hidden)]
pub mod load;
mod net;
#[doc(hidden)]
pub mod program;
mod server;
mod wire;

pub use net::{Counter, Network};
pub use server::{
    AcceptorStats, Config, ConnectionId, Echo, Ending, Handle, Handler, LogConnections, Proxy,
    ReactorStats, Reply, SampledTurns, SendError, Server, Stats, Timeouts, To, WhenFull,
};
pub use wire::{Framing, ProxyProtocol, Reason};

/// The pieces that the server and the load generator are made of: to learn from, as the
/// examples `one_loop` and `two_loops` do, and for tests and benchmarks.
///
/// They change with the server, in any version.
///
/// | piece | what it is |
/// |---|---|
/// | [`Poll`](parts::Poll), [`Events`](parts::Events), [`Event`](parts::Event), [`Interest`](parts::Interest) | epoll made safe |
/// | [`Slab`](parts::Slab), [`Token`](parts::Token) | what a loop owns, and the names that epoll knows it by |
/// | [`Socket`](parts::Socket), [`Connection`](parts::Connection), [`Received`](parts::Received), [`Tally`](parts::Tally), [`Buffer`](parts::Buffer) | a socket, and bytes that wait |
/// | [`Codec`](parts::Codec), [`Frame`](parts::Frame), [`TooLong`](parts::TooLong) | where a message ends |
/// | [`TerminationSignals`](parts::TerminationSignals) | SIGTERM, as a source for epoll |
#[cfg(feature = "parts")]
pub mod parts {
    pub use crate::net::buffer::Buffer;
    pub use crate::net::connection::{Connection, Received, Tally};
    pub use crate::net::poll::{Event, Events, Interest, Poll};
    pub use crate::net::slab::Slab;
    pub use crate::net::socket::Socket;
    pub use crate::net::termination_signals::TerminationSignals;
    pub use crate::net::token::Token;
    pub use crate::wire::codec::{Codec, Frame, TooLong};
}
