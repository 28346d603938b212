//! What threads share when they talk: a flag, a queue, an eventfd.
//!
//! They stand here under names of their own so that [`mailbox`](crate::mailbox) can
//! be run on loom's instead, which take every step in every order: `tests/loom/`.

pub(crate) use std::fs::File;
pub(crate) use std::sync::atomic::AtomicU8;

pub(crate) use crossbeam_channel::{Receiver, Sender, unbounded};
