//! The name of a connection.

use crate::net::token::Token;

/// Names a connection of a server for as long as it lives, and never another one.
///
/// It is two words, and stays valid as a name when its connection is closed: what is sent to
/// it then goes nowhere. So does what is sent to it by the handle of another server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    /// The number of its server in this process.
    pub(crate) server: u32,
    pub(crate) reactor: u32,
    pub(crate) token: Token,
}
