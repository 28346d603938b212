//! The progress of a peer with what is waited for.

use crate::net::connection::{Connection, Tally};
use crate::net::socket::Socket;
use crate::server::patience::Waiting;

/// The progress of a peer with what is waited for: a number that grows.
///
/// What the peer acknowledged counts, not what the kernel took: the kernel asks for more only
/// once a third of its buffer is free, and until then a slow reader would seem to be none.
pub(super) fn progress<T: Socket>(
    waiting: Waiting,
    messages: u64,
    connection: &Connection<T>,
) -> u64 {
    let Tally { received, sent } = connection.tally();
    let acknowledged = || sent.saturating_sub(unacknowledged(connection));
    match waiting {
        Waiting::Worker => 0,
        Waiting::Message => messages,
        Waiting::Room | Waiting::LastAck | Waiting::Fin => acknowledged(),
        Waiting::Anything => received + acknowledged(),
    }
}

/// How many bytes the kernel took, and the peer has not acknowledged.
pub(super) fn unacknowledged<T: Socket>(connection: &Connection<T>) -> u64 {
    connection.socket().unacknowledged().unwrap_or(0).into()
}
