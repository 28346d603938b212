//! What a server does with messages: the trait that a user of the library implements.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use crate::server::connection_id::ConnectionId;
use crate::server::handle::Handle;
use crate::wire::reason::Reason;
use crate::wire::replies::Replies;

/// What a server does with its connections and their messages.
///
/// All threads share one handler. What it remembers of one connection is that
/// connection's [`Session`](Handler::Session), which one thread at a time has. The calls
/// for one connection follow each other: `opened`, then `message` and `sent`, then
/// `closed`.
///
/// With workers, `message` runs on a worker, and everything else on the reactor that owns
/// the connection. A panic in any of them is counted and closes the connection. No thread
/// is lost to it.
pub trait Handler: Send + Sync + 'static {
    /// What is remembered of one connection; `()` for nothing.
    type Session: Send + 'static;

    /// A connection was opened. `id` names it from now on, `peer` is the address of its
    /// other end, and `reply` takes what the server says first: nothing, or messages that
    /// are sent before all replies and pushes. What is sent to all connections from here on reaches
    /// this one too.
    ///
    /// This runs on a reactor, also with workers. Two connections that belong to different
    /// reactors may be opened in another order than they were made.
    fn opened(&self, id: ConnectionId, peer: SocketAddr, reply: &mut Reply<'_>) -> Self::Session;

    /// A message arrived. `reply` takes the answers: none, one or more.
    ///
    /// Without workers this runs on a reactor, and all connections of that reactor wait
    /// until it returns.
    fn message(&self, session: &mut Self::Session, message: &[u8], reply: &mut Reply<'_>);

    /// The kernel took all that was replied, and all that was pushed, so far.
    fn sent(&self, session: &mut Self::Session) {
        let _ = session;
    }

    /// The connection was closed, for this reason.
    ///
    /// When the server has closed it, that is only once the peer has closed too, or up to two
    /// seconds later. What must be gone at once, such as a name in a list, is best removed where
    /// [`Reply::close`] is called. To tell other connections, keep a clone of
    /// [`Reply::handle`] in the session.
    ///
    /// It is not called for a connection whose `opened` panicked, nor for one whose messages
    /// a worker still has when the server ends by force.
    fn closed(&self, session: Self::Session, reason: Reason) {
        let _ = (session, reason);
    }

    /// [`Config::tick`](crate::Config::tick) passed again.
    ///
    /// Every reactor calls it and passes its own number. What must be done once for the
    /// whole server is done `if reactor == 0`.
    fn tick(&self, reactor: usize) {
        let _ = reactor;
    }
}

/// Takes the replies to one message, or what is said first, framed as the connection is.
#[derive(Debug)]
pub struct Reply<'a> {
    server: &'a Handle,
    /// Where the message stands in the input, with its framing.
    place: Range<usize>,
    replies: Replies<'a>,
    closes: bool,
}

impl<'a> Reply<'a> {
    pub(crate) fn new(server: &'a Handle, place: Range<usize>, replies: Replies<'a>) -> Reply<'a> {
        Reply { server, place, replies, closes: false }
    }

    /// Sends one message, made of `parts` one after the other. It is not checked: one that
    /// contains the delimiter is several to the peer.
    ///
    /// # Panics
    /// With a [`Framing::Len32`](crate::Framing::Len32) message of 4 GiB or more.
    pub fn send(&mut self, parts: &[&[u8]]) {
        self.server.codec().encode(parts, self.replies.made());
    }

    /// Sends bytes as they are, without framing, for a protocol whose replies end in another way
    /// than the messages that it answers.
    pub fn send_unframed(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.replies.made().extend_from_slice(part));
    }

    /// Sends the message back as it arrived. It is sent from where it was read, without a
    /// copy, if there are no workers and every message of that read is answered by one call
    /// of this. In [`Handler::opened`] there is no message, and nothing is sent.
    pub fn echo(&mut self) {
        self.replies.repeat(self.place.clone());
    }

    /// Closes the connection when everything that was replied, before and after this call,
    /// is sent. Messages that arrived behind this one are not handled, and what was pushed to it
    /// during this call may not be sent: reply it instead.
    pub fn close(&mut self) {
        self.closes = true;
    }

    /// The handle of the server, to send to other connections, or later to this one: what is
    /// pushed to this one comes behind all replies to this message, and perhaps to later ones.
    pub fn handle(&self) -> &'a Handle {
        self.server
    }

    /// Returns whether the connection must be closed.
    pub(crate) fn closes(&self) -> bool {
        self.closes
    }
}

/// Sends every message back.
#[derive(Debug, Default)]
pub struct Echo {
    /// What is put in front of each reply.
    pub prefix: Vec<u8>,
    /// How long each message pretends to take: the thread sleeps.
    pub work: Duration,
}

impl Handler for Echo {
    type Session = ();

    fn opened(&self, _: ConnectionId, _: SocketAddr, _: &mut Reply<'_>) {}

    fn message(&self, _: &mut (), message: &[u8], reply: &mut Reply<'_>) {
        if !self.work.is_zero() {
            std::thread::sleep(self.work);
        }
        match self.prefix.as_slice() {
            [] => reply.echo(),
            prefix => reply.send(&[prefix, message]),
        }
    }
}
