//! A multi-reactor TCP server on raw epoll, and the load client that proves it.
//!
//! One thread, the acceptor, accepts connections and deals them round-robin to
//! *reactors*: threads that each own an epoll, their connections and a mailbox.
//! A reactor reads what a connection sends, cuts it into messages, has a
//! [`Handler`] answer them, and writes the replies; or has *workers* do the
//! handling, who send the replies back by mail. Nothing that a thread owns is
//! touched by another.
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
//! # A guided tour
//!
//! What a user of the library needs is [`Server`], [`Config`], [`Handle`] and the
//! [`Handler`] trait, of which [`Echo`] is one. [`load`] is the client side.
//! Imports point down only, in this order:
//!
//! | floor | files | what they are |
//! |---|---|---|
//! | 7 | `server`, `load/` | binds, starts and joins; the load client |
//! | 6 | `reactor`, `acceptor` | the threads with an epoll |
//! | 5 | `service`, `mail` | what is done with one peer; all that a reactor can be told |
//! | 4 | `peer` | a connection of the server: its state, what it waits for |
//! | 3 | `dispatch`, `seats`, `rota`, `spin` | inline, or to the workers and back; how many may be open; whose turn it is; staying awake before sleeping |
//! | 2 | `mailbox`, `events`, `bet` | how threads talk; the log's connect and close lines; what is tried only while it pays |
//! | 1 | `connection`, `deadlines`, `handler`, `limits`, `poll`, `program/`, `slab`, `socket`, `stats` | a socket and its bytes; a timer wheel; the trait; descriptors; epoll made safe; what both programs share; checked slots; what a server asks of a socket; counters |
//! | 0 | `sys`, `sync`, `token`, `buffer`, `codec`, `replies`, `reason` | every `unsafe` block; what threads share; names; bytes in waiting; framing; the replies to one read; why a connection ended |

#[cfg(feature = "load")]
pub mod load;
mod net;
pub mod program;
mod server;
mod wire;

pub use net::{
    Buffer, Connection, Counter, Event, Events, Interest, Poll, Received, Slab, Tally, Token,
};
pub use server::{AcceptorStats, Config, Ending, Handle, ReactorStats, Server, Stats, Timeouts};
pub use wire::{Codec, Echo, Frame, Framing, Handler, Reason, Reply, TooLong};
