//! What is done with messages: the trait a user of the library implements.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use crate::wire::codec::Codec;
use crate::wire::reason::Reason;
use crate::wire::replies::Replies;

/// What a server does with its connections and their messages.
///
/// One handler serves all threads, so it is shared; what it remembers of one
/// connection is that connection's [`Session`](Handler::Session), which only
/// one thread has at a time. Calls for one connection come one after the other:
/// `opened`, then `message` and `sent`, then `closed`.
///
/// With workers, `message` runs on a worker and everything else on the reactor
/// that owns the connection. A panic in any of them is counted, closes the
/// connection and costs no thread.
pub trait Handler: Send + Sync + 'static {
    /// What is remembered of one connection; `()` for nothing.
    type Session: Send + 'static;

    /// A connection was opened.
    fn opened(&self, peer: SocketAddr) -> Self::Session;

    /// A message has arrived. Answers are given with `reply`: none, one or more.
    ///
    /// Without workers this runs on a reactor, and all its connections wait for
    /// it to return.
    fn message(&self, session: &mut Self::Session, message: &[u8], reply: &mut Reply<'_>);

    /// All replies that were given so far have been handed to the kernel.
    fn sent(&self, session: &mut Self::Session) {
        let _ = session;
    }

    /// The connection was closed, or has failed: `reason` says which.
    fn closed(&self, session: Self::Session, reason: Reason) {
        let _ = (session, reason);
    }

    /// [`Config::tick`](crate::Config::tick) has passed again.
    ///
    /// Every reactor calls it for itself and passes its number: what is to be
    /// done once for the whole server is done `if reactor == 0`.
    fn tick(&self, reactor: usize) {
        let _ = reactor;
    }
}

/// Takes the replies to one message, framed as the connection is.
#[derive(Debug)]
pub struct Reply<'a> {
    codec: &'a Codec,
    input: &'a [u8],
    /// Of the message in the input, with its framing.
    place: Range<usize>,
    replies: &'a mut Replies,
}

impl<'a> Reply<'a> {
    pub(crate) fn new(
        codec: &'a Codec,
        input: &'a [u8],
        place: Range<usize>,
        replies: &'a mut Replies,
    ) -> Reply<'a> {
        Reply { codec, input, place, replies }
    }

    /// Sends one message, made of `parts` one after the other.
    pub fn send(&mut self, parts: &[&[u8]]) {
        self.codec.encode(parts, self.replies.own(self.input));
    }

    /// Sends the message back as it came. Without workers, and where each message of a read
    /// is answered by this once, it is sent from where it was read, without a copy.
    pub fn echo(&mut self) {
        self.replies.repeat(self.input, self.place.clone());
    }
}

/// Sends back what has come.
#[derive(Debug, Default)]
pub struct Echo {
    /// What is put in front of each reply.
    pub prefix: Vec<u8>,
    /// How long each message pretends to take: the thread sleeps.
    pub work: Duration,
}

impl Handler for Echo {
    type Session = ();

    fn opened(&self, _: SocketAddr) {}

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
