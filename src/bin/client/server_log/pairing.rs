//! The pairing of the two lines that each connection has.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::line::Connection;
use super::moment::Moment;

/// Connections whose close line is still to come, by their descriptors. It holds at most two per
/// descriptor, however long the log is.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    slots: HashMap<u32, Slot>,
    /// Connections whose close line is missing: the server was killed, or the line was lost.
    pub(super) never_closed: u64,
}

/// The connections of a descriptor.
#[derive(Debug, Clone, Copy)]
struct Slot {
    last: Opening,
    /// The one before it, if it has no close line yet: threads may write their lines a little
    /// later than they use a descriptor again.
    before: Option<Opening>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Opening {
    peer: SocketAddr,
    at: Moment,
}

impl Pairing {
    pub(super) fn open(&mut self, connection: Connection, at: Moment) {
        let last = Opening { peer: connection.peer, at };
        let slot = self.slots.entry(connection.fd);
        slot.and_modify(|slot| {
            self.never_closed += u64::from(slot.before.is_some());
            *slot = Slot { last, before: Some(slot.last) };
        })
        .or_insert(Slot { last, before: None });
    }

    /// Returns when a connection was opened, if its first line was read.
    pub(super) fn close(&mut self, connection: Connection) -> Option<Moment> {
        let slot = self.slots.get_mut(&connection.fd)?;
        if let Some(before) = slot.before.take_if(|it| it.peer == connection.peer) {
            return Some(before.at);
        }
        let last = (slot.last.peer == connection.peer).then_some(slot.last)?;
        // The order of the lines is that of the connections again.
        self.never_closed += u64::from(slot.before.is_some());
        self.slots.remove(&connection.fd);
        Some(last.at)
    }

    /// Another server began, which has none of these connections.
    pub(super) fn forget(&mut self) {
        self.never_closed += self.len();
        self.slots.clear();
    }

    /// The number of connections whose close line is still to come.
    pub(super) fn len(&self) -> u64 {
        self.slots.values().map(|slot| 1 + u64::from(slot.before.is_some())).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn connection(fd: u32, port: u16) -> Connection {
        Connection { fd, peer: (Ipv4Addr::LOCALHOST, port).into() }
    }

    fn moment(second: u32) -> Moment {
        Moment::at_start_of(&format!("2026-01-01 00:00:{second:02}")).expect("a time").0
    }

    #[test]
    fn a_descriptor_is_used_again_and_its_lines_may_be_swapped() {
        let mut pairing = Pairing::default();
        pairing.open(connection(7, 1), moment(1));
        pairing.open(connection(7, 2), moment(2));
        assert_eq!(pairing.close(connection(7, 1)), Some(moment(1)));
        assert_eq!(pairing.close(connection(7, 1)), None);
        assert_eq!(pairing.close(connection(7, 2)), Some(moment(2)));
        assert_eq!(pairing.close(connection(7, 2)), None);
        assert_eq!((pairing.len(), pairing.never_closed), (0, 0));
    }

    #[test]
    fn one_port_may_be_used_by_two_connections_in_turn() {
        let mut pairing = Pairing::default();
        pairing.open(connection(7, 1), moment(1));
        pairing.open(connection(7, 1), moment(2));
        assert_eq!(pairing.close(connection(7, 1)), Some(moment(1)));
        assert_eq!(pairing.close(connection(7, 1)), Some(moment(2)));
        assert_eq!(pairing.len(), 0);
    }

    #[test]
    fn it_pairs_no_line_of_another_connection() {
        let mut pairing = Pairing::default();
        pairing.open(connection(7, 1), moment(1));
        assert_eq!(pairing.close(connection(7, 2)), None);
        assert_eq!(pairing.close(connection(8, 1)), None);
        assert_eq!(pairing.close(connection(7, 1)), Some(moment(1)));
    }

    #[test]
    fn it_holds_open_connections_alone_even_if_no_close_line_was_written() {
        let mut pairing = Pairing::default();
        for round in 0..1000 {
            for fd in 0..3 {
                pairing.open(connection(fd, round), moment(1));
            }
        }
        assert_eq!((pairing.slots.len(), pairing.len()), (3, 6));
        assert_eq!(pairing.never_closed, 3 * 998);
        pairing.forget();
        assert_eq!((pairing.len(), pairing.never_closed), (0, 3000));
    }
}
