//! The handler of a simulated server.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use super::dialogue::{HUGE, LONG, PREFIX};
use crate::net::clock::scripted::now;
use crate::server::connection_id::ConnectionId;
use crate::server::handler::{Handler, Reply};
use crate::wire::reason::Reason;

/// Answers as the first byte of each message asks for, panics where it is told to, and
/// records how each of its sessions ended.
#[derive(Debug)]
pub(super) struct ScriptedHandler {
    pub(super) raw: bool,
    /// When it panics, by the port of the client.
    pub(super) panics_at: HashMap<u16, Moment>,
    pub(super) panics: AtomicU64,
    pub(super) opened: AtomicU64,
    /// By port: the reason and the time.
    pub(super) ended: Mutex<HashMap<u16, Vec<(Reason, Instant)>>>,
}

/// When a handler panics, apart from messages that ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Opened,
    Sent,
    Closed,
}

impl ScriptedHandler {
    /// A panic that no hook reports.
    fn panic(&self) -> ! {
        self.panics.fetch_add(1, Relaxed);
        resume_unwind(Box::new("as scripted"))
    }

    fn panic_at(&self, port: u16, moment: Moment) {
        if self.panics_at.get(&port) == Some(&moment) {
            self.panic();
        }
    }
}

impl Handler for ScriptedHandler {
    type Session = u16;

    fn opened(&self, _: ConnectionId, peer: SocketAddr, _: &mut Reply<'_>) -> u16 {
        self.panic_at(peer.port(), Moment::Opened);
        self.opened.fetch_add(1, Relaxed);
        peer.port()
    }

    fn message(&self, _: &mut u16, message: &[u8], reply: &mut Reply<'_>) {
        match message {
            _ if self.raw => reply.echo(),
            [b'e', ..] => reply.echo(),
            [b'n', ..] => {}
            [b't', ..] => (0..2).for_each(|_| reply.send(&[PREFIX, message])),
            [b'l', ..] => reply.send(&[PREFIX, &message.repeat(LONG)]),
            [b'h', ..] => reply.send(&[PREFIX, &message.repeat(HUGE)]),
            [b'p', ..] => self.panic(),
            _ => reply.send(&[PREFIX, message]),
        }
    }

    fn sent(&self, port: &mut u16) {
        self.panic_at(*port, Moment::Sent);
    }

    fn closed(&self, port: u16, reason: Reason) {
        let mut ended = self.ended.lock().expect("no panic while it is held");
        ended.entry(port).or_default().push((reason, now()));
        drop(ended);
        self.panic_at(port, Moment::Closed);
    }

    fn tick(&self, _: usize) {
        self.panic();
    }
}
