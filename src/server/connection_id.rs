//! The name of a connection.

use crate::net::token::Token;

/// Names a connection of a server for as long as it lives, and never another one.
///
/// It is two words, and stays valid as a name when its connection is closed: what is sent to
/// it then goes nowhere. It means something to its own server only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    pub(crate) reactor: usize,
    pub(crate) token: Token,
}
