//! What is pushed in a simulation: who sent it, to whom, and what must arrive.

use std::collections::{HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};

use super::dialogue::encode;
use crate::server::connection_id::ConnectionId;
use crate::server::handle::{Handle, Reactors, To};
use crate::server::push::{Push, WhenFull};
use crate::wire::codec::Framing;

/// All that is pushed to the clients of one simulation.
#[derive(Debug)]
pub(super) struct Pushes {
    pub(super) framing: Framing,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// The connections by the ports of their clients.
    ids: HashMap<u16, ConnectionId>,
    /// The clients that have connected.
    connected: Vec<u16>,
    sent: Vec<Sent>,
    /// How many connections were sent to by name.
    named: u64,
    /// How many more may have been sent to, or closed too late.
    others: u64,
}

/// One message that was pushed.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) sender: u16,
    /// The sender's own count.
    number: usize,
    /// As it must arrive.
    pub(super) bytes: Vec<u8>,
    /// The ports of the clients that it may reach.
    pub(super) reaches: Vec<u16>,
    /// It was sent to connections by their names, so all of them are counted.
    pub(super) is_named: bool,
    pub(super) when_full: WhenFull,
    /// How many replies the sender had made before it on the same connection.
    pub(super) behind: usize,
}

/// Whom a message is sent to, by port.
#[derive(Debug, Clone)]
pub(super) enum Ports {
    Many(Vec<u16>),
    All,
    AllBut(u16),
}

/// What a pushed message begins with, which no reply does: this mark, the sender, its number.
pub(super) const HEAD: usize = 7;
/// The longest message that is pushed.
pub(super) const LONGEST: usize = 2000;

/// The mail of handles, before the world delivers it.
#[derive(Debug, Clone, Default)]
pub(super) struct Posted(Arc<Mutex<VecDeque<Push>>>);

impl Reactors for Posted {
    fn send(&self, _: usize, push: Push) {
        self.0.lock().expect("no panic while it is held").push_back(push);
    }
}

impl Posted {
    pub(super) fn take(&self) -> VecDeque<Push> {
        std::mem::take(&mut self.0.lock().expect("no panic while it is held"))
    }
}

impl Pushes {
    pub(super) fn new(framing: Framing) -> Pushes {
        Pushes { framing, book: Mutex::default() }
    }

    /// A byte that begins no reply, and is nowhere in raw ones.
    pub(super) fn mark(framing: &Framing) -> u8 {
        if *framing == Framing::Raw { u8::MAX } else { b'P' }
    }

    /// A client has connected.
    pub(super) fn note_connected(&self, port: u16) {
        self.book().connected.push(port);
    }

    /// The connection of that client has a name.
    pub(super) fn note_id(&self, port: u16, id: ConnectionId) {
        self.book().ids.insert(port, id);
    }

    /// The name of that client's connection, once it is open.
    pub(super) fn id(&self, port: u16) -> Option<ConnectionId> {
        self.book().ids.get(&port).copied()
    }

    /// The clients whose connections have names, whether these still exist or not.
    pub(super) fn named(&self) -> Vec<u16> {
        let mut ports: Vec<u16> = self.book().ids.keys().copied().collect();
        ports.sort_unstable();
        ports
    }

    /// Sends a message of about that size. `sender` had made `behind` replies before it.
    pub(super) fn send(
        &self,
        handle: &Handle,
        (sender, behind): (u16, usize),
        ports: Ports,
        size: usize,
        when_full: WhenFull,
    ) {
        let mut book = self.book();
        let number = book.sent.iter().filter(|sent| sent.sender == sender).count();
        let head = format!("{sender:03}{number:03}");
        let body = [&[Pushes::mark(&self.framing)], head.as_bytes(), &vec![b'x'; size]].concat();
        let ids: Vec<ConnectionId>;
        let (to, reaches) = match ports {
            Ports::All => (To::All, book.connected.clone()),
            Ports::AllBut(port) => {
                let others = book.connected.iter().copied().filter(|&other| other != port);
                (To::AllBut(book.ids[&port]), others.collect())
            }
            Ports::Many(mut ports) => {
                ports.sort_unstable();
                ports.dedup();
                ids = ports.iter().map(|port| book.ids[port]).collect();
                (if let [id] = ids[..] { To::One(id) } else { To::Many(&ids) }, ports)
            }
        };
        if handle.send(to, &[&body], when_full).is_ok() {
            let is_named = matches!(to, To::One(_) | To::Many(_));
            let count = if is_named { &mut book.named } else { &mut book.others };
            *count += reaches.len() as u64;
            let bytes = encode(&self.framing, &body);
            book.sent.push(Sent { sender, number, bytes, reaches, is_named, when_full, behind });
        }
    }

    /// A close of a connection was sent.
    pub(super) fn note_close(&self) {
        self.book().others += 1;
    }

    /// The message that begins with this head.
    pub(super) fn find(&self, head: &[u8]) -> Option<Sent> {
        let text = std::str::from_utf8(head.get(1..HEAD)?).ok()?;
        let (sender, number) = (text[..3].parse().ok()?, text[3..].parse().ok()?);
        let book = self.book();
        book.sent.iter().find(|it| (it.sender, it.number) == (sender, number)).cloned()
    }

    /// What may reach that client, in the order in which it was sent.
    pub(super) fn reaching(&self, port: u16) -> Vec<Sent> {
        self.book().sent.iter().filter(|sent| sent.reaches.contains(&port)).cloned().collect()
    }

    /// How many messages for a connection, and late closes, are counted: at least and at most.
    pub(super) fn counted(&self) -> RangeInclusive<u64> {
        let book = self.book();
        book.named..=book.named + book.others
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no panic while it is held")
    }
}

impl Sent {
    /// What tells it from all others.
    pub(super) fn name(&self) -> (u16, usize) {
        (self.sender, self.number)
    }
}
