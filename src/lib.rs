//! A multi-reactor TCP server on raw epoll, and the load client that proves it.
#![doc = ""]

mod acceptor;
mod buffer;
mod codec;
mod connection;
mod deadlines;
mod dispatch;
mod events;
mod handler;
mod limits;
pub mod load;
mod mailbox;
mod peer;
mod poll;
pub mod program;
mod reactor;
mod reason;
mod seats;
mod server;
mod service;
mod slab;
mod stats;
mod sys;
mod token;

pub use acceptor::Ending;
pub use buffer::Buffer;
pub use codec::{Codec, Frame, Framing, TooLong};
pub use connection::{Connection, Received, Tally};
pub use deadlines::Timeouts;
pub use handler::{Echo, Handler, Reply};
pub use limits::{connections_possible, raise_descriptor_limit};
pub use poll::{Event, Events, Interest, Poll};
pub use reason::Reason;
pub use server::{Config, Handle, Server};
pub use slab::Slab;
pub use stats::{AcceptorStats, Counter, ReactorStats, Stats};
pub use token::Token;
