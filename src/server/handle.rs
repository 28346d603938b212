//! What reaches a server from any thread: to send to its connections, to end it, to read its
//! figures.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use crate::net::mailbox::Mailbox;
use crate::server::connection_id::ConnectionId;
use crate::server::notice::Notice;
use crate::server::push::{Push, Recipients, What, WhenFull};
use crate::server::stats::Stats;
use crate::wire::codec::Codec;

/// Controls a server from any thread: sends to its connections, closes them, ends the server
/// and reads its figures.
///
/// No call blocks, and all clones are the same handle. A handler finds it in
/// [`Reply::handle`](crate::Reply::handle), all others in
/// [`Server::handle`](crate::Server::handle).
#[derive(Clone)]
pub struct Handle(Arc<Control>);

struct Control {
    acceptor: Mailbox<Notice>,
    reactors: Box<dyn Reactors>,
    /// How many bytes of pushes are on their way to each reactor. They are atomics because
    /// the sender must know at once whether there is room.
    under_way: Box<[AtomicUsize]>,
    /// Nothing can be sent any more. No mail can tell all senders.
    has_ended: AtomicBool,
    codec: Codec,
    stats: Stats,
}

/// The mailboxes of all reactors, whatever their handler's sessions are.
pub(crate) trait Reactors: Send + Sync {
    /// Sends this to that reactor, without blocking.
    fn send(&self, reactor: usize, push: Push);
}

/// Which connections something is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To<'a> {
    /// This one.
    One(ConnectionId),
    /// Each of these, as often as it is among them.
    Many(&'a [ConnectionId]),
    /// All that are open.
    All,
    /// All that are open, without this one.
    AllBut(ConnectionId),
}

/// Why nothing was sent, to any connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// 4 MiB are on their way to a reactor already, or would be with this. A reactor that
    /// catches up makes room. A handler must not wait for that: its own reactor may be the one.
    Full,
    /// The server drains, was told to stop, or has ended.
    Ended,
}

/// How many bytes of pushes may be on their way to one reactor, so that a sender that is
/// faster than the reactor cannot make the server hold more.
const UNDER_WAY: usize = 4 * 1024 * 1024;

impl Handle {
    /// The handle of a server with `count` reactors.
    pub(crate) fn new(
        acceptor: Mailbox<Notice>,
        reactors: Box<dyn Reactors>,
        count: usize,
        codec: Codec,
    ) -> Handle {
        let under_way = (0..count).map(|_| AtomicUsize::new(0)).collect();
        let (has_ended, stats) = (AtomicBool::new(false), Stats::new(count));
        Handle(Arc::new(Control { acceptor, reactors, under_way, has_ended, codec, stats }))
    }

    /// Sends one message, made of `parts` one after the other and framed as the connections
    /// are, to one connection, to many or to all of them.
    ///
    /// `Ok` means that it is on its way. What one thread sends to a connection arrives in
    /// that order, behind the replies that were made before, and never inside another message.
    /// A connection that is closed, or about to close, is passed over and counted in
    /// [`pushes_late`](crate::ReactorStats::pushes_late). So may a message be that is sent at
    /// the moment at which a drain begins.
    ///
    /// A connection holds at most 64 KiB of unsent messages, 4 KiB while all together hold
    /// much, or a single longer one, besides what the kernel buffers: some MiB on loopback.
    /// Beyond that `when_full` decides.
    ///
    /// # Errors
    /// There was no room, or the server has ended. Then nothing is sent to any of them. A
    /// message of 4 MiB or more never has room.
    ///
    /// # Panics
    /// As [`Reply::send`](crate::Reply::send).
    pub fn send<'a>(
        &self,
        to: impl Into<To<'a>>,
        parts: &[&[u8]],
        when_full: WhenFull,
    ) -> Result<(), SendError> {
        let mut message = Vec::new();
        self.0.codec.encode(parts, &mut message);
        self.push(to.into(), &What::Send(message.into(), when_full))
    }

    /// Closes a connection when all that was replied and sent to it before is sent, as
    /// [`Reply::close`](crate::Reply::close) does. Messages that a worker has are answered;
    /// other messages are not handled.
    ///
    /// # Errors
    /// As [`send`](Handle::send).
    pub fn close(&self, id: ConnectionId) -> Result<(), SendError> {
        self.push(To::One(id), &What::Close)
    }

    /// Has the server accept no more connections, answer what arrived, send what was sent to
    /// its connections before, close, and return from [`Server::run`](crate::Server::run). That
    /// takes about two seconds if a peer does not close.
    ///
    /// From this call on [`send`](Handle::send) returns [`SendError::Ended`], also in handlers
    /// that answer what had arrived: their replies are sent, their pushes are not.
    pub fn drain(&self) {
        self.end();
        self.0.acceptor.send(Notice::Drain);
    }

    /// Has the server reset all connections and return from
    /// [`Server::run`](crate::Server::run), without waiting for a handler that has not
    /// returned. Workers may still call the handler then, for the messages they have.
    pub fn stop(&self) {
        self.end();
        self.0.acceptor.send(Notice::Stop);
    }

    /// What was counted so far.
    pub fn stats(&self) -> &Stats {
        &self.0.stats
    }

    /// How the connections are framed.
    pub(crate) fn codec(&self) -> &Codec {
        &self.0.codec
    }

    /// From now on nothing can be sent.
    pub(crate) fn end(&self) {
        self.0.has_ended.store(true, SeqCst);
    }

    /// A push has reached that reactor, and makes room for others.
    pub(crate) fn arrived(&self, reactor: usize, cost: usize) {
        self.0.under_way[reactor].fetch_sub(cost, SeqCst);
    }

    /// Sends this to each reactor that has such connections: to all of them, or to none if
    /// one has no room.
    fn push(&self, to: To<'_>, what: &What) -> Result<(), SendError> {
        if self.0.has_ended.load(SeqCst) {
            return Err(SendError::Ended);
        }
        let mut pushes = Vec::new();
        for (reactor, to) in recipients(to, self.0.under_way.len()) {
            let push = Push { to, what: what.clone() };
            if !self.reserve(reactor, push.cost()) {
                pushes.iter().for_each(|(reactor, push): &(_, Push)| {
                    self.arrived(*reactor, push.cost());
                });
                return Err(SendError::Full);
            }
            pushes.push((reactor, push));
        }
        pushes.into_iter().for_each(|(reactor, push)| self.0.reactors.send(reactor, push));
        Ok(())
    }

    /// Takes room for a push that is about to be sent to that reactor, if there is enough.
    fn reserve(&self, reactor: usize, cost: usize) -> bool {
        let has_room = self.0.under_way[reactor].fetch_add(cost, SeqCst) + cost <= UNDER_WAY;
        if !has_room {
            self.arrived(reactor, cost);
        }
        has_room
    }
}

/// What that is for each of the reactors that has such connections.
fn recipients(to: To<'_>, reactors: usize) -> Vec<(usize, Recipients)> {
    let but = |id: ConnectionId, reactor| (id.reactor == reactor).then_some(id.token);
    match to {
        // A reactor that does not exist belongs to another server.
        To::One(id) if id.reactor >= reactors => Vec::new(),
        To::One(id) => vec![(id.reactor, Recipients::One(id.token))],
        To::All => (0..reactors).map(|it| (it, Recipients::All { but: None })).collect(),
        To::AllBut(id) => {
            (0..reactors).map(|it| (it, Recipients::All { but: but(id, it) })).collect()
        }
        To::Many(ids) => {
            let mut tokens = vec![Vec::new(); reactors];
            for id in ids {
                tokens.get_mut(id.reactor).into_iter().for_each(|of_it| of_it.push(id.token));
            }
            let tokens = tokens.into_iter().enumerate().filter(|(_, tokens)| !tokens.is_empty());
            tokens.map(|(reactor, tokens)| (reactor, Recipients::Many(tokens))).collect()
        }
    }
}

impl From<ConnectionId> for To<'_> {
    fn from(id: ConnectionId) -> Self {
        To::One(id)
    }
}

impl<'a> From<&'a [ConnectionId]> for To<'a> {
    fn from(ids: &'a [ConnectionId]) -> To<'a> {
        To::Many(ids)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("stats", &self.0.stats).finish_non_exhaustive()
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Full => "too much is on its way to the connections",
            SendError::Ended => "the server is ending",
        })
    }
}

impl Error for SendError {}
