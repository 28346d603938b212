//! What is pushed to connections, without a message that it replies to.

use std::sync::Arc;

use crate::net::token::Token;

/// What to do with connections of one reactor, on its way to that reactor.
#[derive(Debug)]
pub(crate) struct Push {
    pub(crate) to: Recipients,
    pub(crate) what: What,
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
    /// How many bytes it counts for while it is under way.
    pub(crate) fn cost(&self) -> usize {
        let tokens = match &self.to {
            Recipients::Many(tokens) => size_of_val(tokens.as_slice()),
            Recipients::One(_) | Recipients::All { .. } => 0,
        };
        let bytes = match &self.what {
            What::Send(message, _) => message.len(),
            What::Close => 0,
        };
        OVERHEAD + tokens + bytes
    }
}
