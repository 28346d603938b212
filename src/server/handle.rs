//! What reaches a server from any thread: to send to its connections, to end it, to read its
//! figures.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};

use crate::net::mailbox::Mailbox;
use crate::net::token::Token;
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
/// [`Server::handle`](crate::Server::handle). As long as a clone exists it keeps one descriptor
/// for each I/O thread and one for the acceptor open, also when the server has ended.
#[derive(Clone)]
pub struct Handle(Arc<Control>);

struct Control {
    /// Which of the servers of this process it controls.
    number: u32,
    acceptor: Mailbox<Notice>,
    reactors: Box<dyn Reactors>,
    /// How many bytes of pushes are on their way to each reactor. They are atomics because
    /// the sender must know at once whether there is room.
    under_way: Box<[UnderWay]>,
    /// Nothing can be sent any more. No mail can tell all senders.
    has_ended: AtomicBool,
    codec: Codec,
    stats: Stats,
}

/// How many bytes of pushes are on their way to one reactor. It has cache lines of its own,
/// because different threads write to its neighbours.
#[derive(Default)]
#[repr(align(128))]
struct UnderWay(AtomicUsize);

/// The mailboxes of all reactors, whatever their handler's sessions are.
pub(crate) trait Reactors: Send + Sync {
    /// Sends this to that reactor, without blocking.
    fn send(&self, reactor: usize, push: Push);
}

/// Which connections something is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
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

/// Why nothing was sent, to any connection. Later versions may have more reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// More is on its way to a reactor than it has room for. A reactor that catches up makes
    /// room. A handler must not wait for that: its own reactor may be the one.
    Full,
    /// The server drains, was told to stop, or has ended.
    Ended,
}

/// How many bytes of pushes may be on their way to one reactor, or a single longer one, so that
/// a sender that is faster than the reactor cannot make the server hold more.
const UNDER_WAY: usize = 4 * 1024 * 1024;

/// How many servers this process has made.
static SERVERS: AtomicU32 = AtomicU32::new(0);

impl Handle {
    /// The handle of a server with `count` reactors.
    pub(crate) fn new(
        acceptor: Mailbox<Notice>,
        reactors: Box<dyn Reactors>,
        count: usize,
        codec: Codec,
    ) -> Handle {
        let number = SERVERS.fetch_add(1, SeqCst);
        let under_way = (0..count).map(|_| UnderWay::default()).collect();
        let (has_ended, stats) = (AtomicBool::new(false), Stats::new(count));
        Handle(Arc::new(Control { number, acceptor, reactors, under_way, has_ended, codec, stats }))
    }

    /// Sends one message, made of `parts` one after the other and framed as the connections
    /// are, to one connection, to many or to all of them.
    ///
    /// The message is not checked: one that contains the delimiter is several to the peer.
    ///
    /// `Ok` means that it is on its way. What one thread sends to a connection arrives in
    /// that order, behind the replies that were made before, and never inside another message.
    /// What several threads send may arrive in another order at connections of different I/O
    /// threads, unless a lock has their calls follow each other.
    /// A connection that is closed, or about to close, is passed over and counted in
    /// [`pushes_late`](crate::ReactorStats::pushes_late). So may a message be that is sent at
    /// the moment at which a drain begins.
    ///
    /// A connection holds at most 64 KiB of unsent messages, 4 KiB while all together hold
    /// much, or a single longer one, besides what the kernel buffers: some MiB on loopback.
    /// Beyond that `when_full` decides.
    ///
    /// On its way to an I/O thread a message counts 128 bytes more than it has, and one more for
    /// each connection of [`To::All`] or eight for each of [`To::Many`] there. 4 MiB may be on
    /// their way, or a single message that counts more: 27,000 of 20 bytes to one connection, or
    /// 3,600 to all if the thread has 1,000. A handler that says more than that in one turn, such as a
    /// chat room that thousands leave at once, is told [`SendError::Full`].
    ///
    /// # Errors
    /// There was no room, or the server has ended. Then nothing is sent to any of them.
    ///
    /// # Panics
    /// As [`Reply::send`](crate::Reply::send).
    pub fn send<'a>(
        &self,
        to: impl Into<To<'a>>,
        parts: &[&[u8]],
        when_full: WhenFull,
    ) -> Result<(), SendError> {
        self.push(to.into(), || {
            let mut message = Vec::new();
            self.0.codec.encode(parts, &mut message);
            What::Send(message.into(), when_full)
        })
    }

    /// Closes a connection when all that was replied and sent to it before is sent, as
    /// [`Reply::close`](crate::Reply::close) does. Messages that arrive later are not handled;
    /// those that a worker has, or that were read already, are answered.
    ///
    /// # Errors
    /// The server has ended, or 8 MiB are on their way to the reactor, closes included.
    pub fn close(&self, id: ConnectionId) -> Result<(), SendError> {
        self.push(To::One(id), || What::Close)
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

    /// The name of a connection of this server.
    pub(crate) fn name(&self, reactor: usize, token: Token) -> ConnectionId {
        ConnectionId { server: self.0.number, reactor: reactor as u32, token }
    }

    /// From now on nothing can be sent.
    pub(crate) fn end(&self) {
        self.0.has_ended.store(true, SeqCst);
    }

    /// Returns whether a push is on its way to that reactor.
    pub(crate) fn has_under_way(&self, reactor: usize) -> bool {
        self.0.under_way[reactor].0.load(SeqCst) > 0
    }

    /// A push has reached that reactor, and makes room for others.
    pub(crate) fn arrived(&self, reactor: usize, cost: usize) {
        self.0.under_way[reactor].0.fetch_sub(cost, SeqCst);
    }

    /// Sends this to each reactor that has such connections: to all of them, or to none if
    /// one has no room.
    fn push(&self, to: To<'_>, what: impl FnOnce() -> What) -> Result<(), SendError> {
        if self.0.has_ended.load(SeqCst) {
            return Err(SendError::Ended);
        }
        let (what, mut pushes) = (what(), Vec::new());
        for (reactor, to) in self.recipients(to) {
            let push = Push::new(to, what.clone(), || self.stats().open(reactor));
            if !self.reserve(reactor, &push) {
                pushes.iter().for_each(|(reactor, push): &(_, Push)| {
                    self.arrived(*reactor, push.cost);
                });
                return Err(SendError::Full);
            }
            pushes.push((reactor, push));
        }
        pushes.into_iter().for_each(|(reactor, push)| self.0.reactors.send(reactor, push));
        Ok(())
    }

    /// Takes room for a push that is about to be sent to that reactor, if there is enough. A
    /// close finds room where a message does not: it may be what ends a flood.
    fn reserve(&self, reactor: usize, push: &Push) -> bool {
        let most = if push.is_close() { 2 * UNDER_WAY } else { UNDER_WAY };
        let with_this = |under_way: usize| {
            let with_this = under_way + push.cost;
            (under_way == 0 || with_this <= most).then_some(with_this)
        };
        self.0.under_way[reactor].0.fetch_update(SeqCst, SeqCst, with_this).is_ok()
    }

    /// What that is for each of the reactors that has such connections.
    fn recipients(&self, to: To<'_>) -> Vec<(usize, Recipients)> {
        let reactors = self.0.under_way.len();
        let is_ours = |id: ConnectionId| id.server == self.0.number;
        let all = |but: Option<ConnectionId>| {
            let but = |reactor| but.filter(|id| id.reactor as usize == reactor).map(|id| id.token);
            (0..reactors).map(|reactor| (reactor, Recipients::All { but: but(reactor) })).collect()
        };
        match to {
            To::One(id) if is_ours(id) => vec![(id.reactor as usize, Recipients::One(id.token))],
            To::One(_) => Vec::new(),
            To::All => all(None),
            To::AllBut(id) => all(Some(id).filter(|&id| is_ours(id))),
            To::Many(ids) => {
                let mut tokens = vec![Vec::new(); reactors];
                for id in ids.iter().filter(|&&id| is_ours(id)) {
                    tokens[id.reactor as usize].push(id.token);
                }
                let many = tokens.into_iter().enumerate().filter(|(_, tokens)| !tokens.is_empty());
                many.map(|(reactor, tokens)| (reactor, Recipients::Many(tokens))).collect()
            }
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

impl<'a> From<&'a Vec<ConnectionId>> for To<'a> {
    fn from(ids: &'a Vec<ConnectionId>) -> To<'a> {
        To::Many(ids)
    }
}

impl<'a, const N: usize> From<&'a [ConnectionId; N]> for To<'a> {
    fn from(ids: &'a [ConnectionId; N]) -> To<'a> {
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
