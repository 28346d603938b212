//! A multi-reactor TCP server on raw epoll, and the load client that proves it.
//!
//! One thread, the *acceptor*, accepts connections and deals them round-robin to
//! *reactors*: threads that each own an epoll, their connections and a mailbox. A reactor
//! reads what a connection sends, cuts it into messages, has a [`Handler`] answer them and
//! writes the replies. For handlers that block or compute, *workers* answer them instead,
//! and the replies return by mail. What a thread owns no other thread touches.
//!
//! ```
//! use reactor_server::{Config, Echo, Framing, Server};
//! use std::io::{Read, Write};
//!
//! let config = Config { framing: Framing::line(), ..Config::default() };
//! let server = Server::bind(config, Echo::default())?;
//! let (address, handle) = (server.local_addr(), server.handle());
//! let thread = std::thread::spawn(|| server.run());
//!
//! let mut stream = std::net::TcpStream::connect(address)?;
//! stream.write_all(b"hello\n")?;
//! let mut reply = [0; 6];
//! stream.read_exact(&mut reply)?;
//! assert_eq!(&reply, b"hello\n");
//!
//! drop(stream);
//! handle.drain();
//! thread.join().expect("no panic")?;
//! # std::io::Result::Ok(())
//! ```
//!
//! # What is in the crate
//!
//! A server of your own needs [`Server`], [`Config`], [`Handle`] and the [`Handler`] trait,
//! of which [`Echo`] is one implementation. The folders, from the ground up; each imports
//! only from those above it in this table:
//!
//! | folder | what it is |
//! |---|---|
//! | `net/` | the event loop and its parts: epoll, mailboxes, slots, timers, buffers, and every `unsafe` block |
//! | `wire/` | what a message is: framing, the [`Handler`] trait, replies |
//! | `program/` | what programs share: a log that never blocks, signals, units, limits |
//! | `server/` | acceptor, reactors, workers: the way of a message stands in `server/visit.rs` |
//! | `load/` | the load generator, which uses `net/`, `wire/` and `program/` as the server does |
//!
//! # Features
//!
//! All are on by default. Without them the library is the server alone and has six
//! dependencies.
//!
//! | feature | what it adds |
//! |---|---|
//! | `load` | the load generator |
//! | `program` | the log, units and flags that both programs share |
//! | `server`, `client` | the two programs |

#[cfg(feature = "load")]
pub mod load;
mod net;
pub mod program;
mod server;
mod wire;

pub use net::{
    Buffer, Connection, Counter, Event, Events, Interest, Poll, Received, Slab, Tally, Token,
};
pub use server::{
    AcceptorStats, Config, Ending, Handle, LogConnections, ReactorStats, Server, Stats, Timeouts,
};
pub use wire::{Codec, Echo, Frame, Framing, Handler, Reason, Reply, TooLong};
