//! What is pushed to connections, without a message that it replies to.

use std::sync::Arc;

use crate::net::token::Token;

/// What to do with connections of one reactor, on its way to that reactor.
#[derive(Debug)]
pub(crate) struct Push {
    pub(crate) to: Recipients,
    pub(crate) what: What,
    /// How many bytes it counts for while it is under way.
    pub(crate) cost: usize,
}

/// Connections of one reactor.
#[derive(Debug, Clone)]
pub(crate) enum Recipients {
    One(Token),
    Many(Vec<Token>),
    All { but: Option<Token> },
}

/// What to do with each of them.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// Send it this message, which has its framing.
    Send(Arc<[u8]>, WhenFull),
    /// Close it.
    Close,
}

/// What happens to a connection that has no room for a message, because its peer does not
/// take what was sent to it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// The message is dropped, and counted in
    /// [`pushes_dropped`](crate::ReactorStats::pushes_dropped).
    Drop,
    /// The connection is reset, for the reason [`PushFull`](crate::Reason::PushFull). While a
    /// worker has its messages, the message is dropped instead: the server is late then.
    Close,
}

/// What a push without any bytes counts for, so that a mailbox cannot fill with those.
const OVERHEAD: usize = 128;

impl Push {
    /// A push to connections of a reactor that has `open` ones. To all of them it counts a byte
    /// for each, for the time that the reactor will need while it reads no other mail.
    pub(crate) fn new(to: Recipients, what: What, open: impl FnOnce() -> u64) -> Push {
        let recipients = match &to {
            Recipients::One(_) => 0,
            Recipients::Many(tokens) => size_of_val(tokens.as_slice()),
            Recipients::All { .. } => open() as usize,
        };
        let cost = OVERHEAD + recipients + what.length();
        Push { to, what, cost }
    }

    pub(crate) fn is_close(&self) -> bool {
        matches!(self.what, What::Close)
    }
}

impl What {
    /// How many bytes each of the connections is sent.
    pub(crate) fn length(&self) -> usize {
        match self {
            What::Send(message, _) => message.len(),
            What::Close => 0,
        }
    }
}
