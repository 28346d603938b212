//! The handler of a simulated server.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::dialogue::{CLOSING, HUGE, LONG, PREFIX};
use super::pushes::{Ports, Pushes};
use crate::net::clock::scripted::now;
use crate::server::connection_id::ConnectionId;
use crate::server::handler::{Handler, Reply};
use crate::server::push::WhenFull;
use crate::wire::reason::Reason;

/// Answers as the first byte of each message asks for, panics where it is told to, and
/// records how each of its sessions ended.
#[derive(Debug)]
pub(super) struct ScriptedHandler {
    pub(super) raw: bool,
    /// Pushes to connections too.
    pub(super) pushing: bool,
    pub(super) pushes: Arc<Pushes>,
    /// What it says first, by the port of the client.
    pub(super) greetings: HashMap<u16, Vec<u8>>,
    /// When it panics, by the port of the client.
    pub(super) panics_at: HashMap<u16, Moment>,
    pub(super) panics: AtomicU64,
    pub(super) opened: AtomicU64,
    /// By port: the reason and the time.
    pub(super) ended: Mutex<HashMap<u16, Vec<(Reason, Instant)>>>,
}

/// What the handler remembers of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conversation {
    port: u16,
    /// How many replies it made: bytes, if one cannot be told from another.
    replies: usize,
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

    /// Pushes something to a connection or to all of them, or closes one, if the number says
    /// so.
    fn push(&self, conversation: &Conversation, number: usize, reply: &Reply<'_>) {
        let Conversation { port, replies } = *conversation;
        let named = self.pushes.named();
        let other = named[number / 8 % named.len()];
        let ports = match number % 8 {
            _ if !self.pushing => return,
            0 | 1 => Ports::Many(vec![port]),
            2 => Ports::Many(vec![port, other]),
            3 => Ports::AllBut(port),
            4 if number.is_multiple_of(5) => Ports::All,
            _ => return,
        };
        let when_full = if number.is_multiple_of(3) { WhenFull::Close } else { WhenFull::Drop };
        self.pushes.send(reply.handle(), (port, replies), ports, number % 100, when_full);
    }

    fn panic_at(&self, port: u16, moment: Moment) {
        if self.panics_at.get(&port) == Some(&moment) {
            self.panic();
        }
    }
}

impl Handler for ScriptedHandler {
    type Session = Conversation;

    fn opened(&self, id: ConnectionId, peer: SocketAddr, reply: &mut Reply<'_>) -> Conversation {
        let mut conversation = Conversation { port: peer.port(), replies: 0 };
        self.pushes.note_id(conversation.port, id);
        if let Some(greeting) = self.greetings.get(&conversation.port) {
            reply.send(&[greeting]);
            conversation.replies += if self.raw { greeting.len() } else { 1 };
        }
        self.panic_at(conversation.port, Moment::Opened);
        self.opened.fetch_add(1, Relaxed);
        self.push(&conversation, conversation.port.into(), reply);
        conversation
    }

    fn message(&self, conversation: &mut Conversation, message: &[u8], reply: &mut Reply<'_>) {
        conversation.replies += match message {
            _ if self.raw => message.len(),
            [b'n' | b'p', ..] => 0,
            [b't', ..] => 2,
            _ => 1,
        };
        match message {
            _ if self.raw => reply.echo(),
            [b'e', ..] => reply.echo(),
            [b'n', ..] => {}
            [b't', ..] => (0..2).for_each(|_| reply.send(&[PREFIX, message])),
            [b'l', ..] => reply.send(&[PREFIX, &message.repeat(LONG)]),
            [b'h', ..] => reply.send(&[PREFIX, &message.repeat(HUGE)]),
            [b'p', ..] => self.panic(),
            [b'q', ..] => {
                reply.close();
                reply.send(&[CLOSING]);
            }
            _ => reply.send(&[PREFIX, message]),
        }
        self.push(conversation, message.iter().map(|&byte| usize::from(byte)).sum(), reply);
    }

    fn sent(&self, conversation: &mut Conversation) {
        self.panic_at(conversation.port, Moment::Sent);
    }

    fn closed(&self, Conversation { port, .. }: Conversation, reason: Reason) {
        let mut ended = self.ended.lock().expect("no panic while it is held");
        ended.entry(port).or_default().push((reason, now()));
        drop(ended);
        self.panic_at(port, Moment::Closed);
    }

    fn tick(&self, _: usize) {
        self.panic();
    }
}
