//! What threads share when they talk: a flag, a queue, an eventfd.
//!
//! [`mailbox`](crate::net::mailbox) imports them from here, so that `tests/loom/` can give
//! it loom's instead and run it in every interleaving.

pub(crate) use std::fs::File;
pub(crate) use std::sync::atomic::AtomicU8;

pub(crate) use crossbeam_channel::{Receiver, Sender, unbounded};
