//! The event loop and its parts: what every thread with an epoll is made of.
//!
//! Nothing here knows of messages, servers or loads. Epoll is made safe by [`Poll`](poll::Poll), other
//! threads reach a loop through its mailbox, and a [`Slab`](slab::Slab) names by a
//! [`Token`](token::Token) what the loop owns.

pub(crate) mod address;
pub(crate) mod bet;
pub(crate) mod buffer;
pub(crate) mod busy_poll;
pub(crate) mod clock;
pub(crate) mod connection;
pub(crate) mod counter;
pub(crate) mod mailbox;
pub(crate) mod network;
pub(crate) mod poll;
pub(crate) mod slab;
pub(crate) mod socket;
pub(crate) mod socket_option;
pub(crate) mod sync;
pub(crate) mod sys;
pub(crate) mod termination_signals;
pub(crate) mod timer_wheel;
pub(crate) mod token;

pub use counter::Counter;
pub use network::Network;
