//! The TCP states of the server's connections, as the kernel has them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use procfs::net::{TcpNetEntries, TcpState};
use procfs::{FromBufReadSI, current_system_info};

/// With more connections than this, they are not counted.
const MOST_CONNECTIONS: u64 = 20_000;
/// The kernel writes a line of 150 bytes or more for every socket of the machine, whatever its
/// port. So much of each list is read at most: 20,000 lines.
const MOST_BYTES: u64 = 20_000 * 150;
/// They are counted no more often than this, however many ask,
const INTERVAL: Duration = Duration::from_secs(1);
/// and a count that took long is kept for this many times as long: 0.25 % of a core at most.
const REST: u32 = 400;

/// Counts them, and remembers for a moment.
#[derive(Debug, Default)]
pub(super) struct TcpStates(Mutex<Option<Last>>);

/// How many connections are in each state, by the name of the state.
pub(super) type Counts = BTreeMap<&'static str, u64>;

/// The last attempt to count.
#[derive(Debug)]
struct Last {
    counts: Option<Counts>,
    fresh_until: Instant,
}

impl TcpStates {
    /// The states of the connections to this port; `None` if there are too many sockets, or if the
    /// kernel does not say.
    pub(super) fn count(&self, port: u16, connections: u64) -> Option<Counts> {
        if connections > MOST_CONNECTIONS {
            return None;
        }
        // Nothing panics while it is held.
        let mut last = self.0.lock().ok()?;
        let began = Instant::now();
        if let Some(last) = &*last
            && began < last.fresh_until
        {
            return last.counts.clone();
        }
        let counts = count(port);
        let ended = Instant::now();
        let fresh_until = ended + INTERVAL.max((ended - began) * REST);
        *last = Some(Last { counts: counts.clone(), fresh_until });
        counts
    }
}

fn count(port: u16) -> Option<Counts> {
    let list = |path| File::open(path).and_then(|file| read_within(file, MOST_BYTES));
    let mut counts: Counts = NAMES.iter().map(|&(_, name)| (name, 0)).collect();
    add(&mut counts, &list("/proc/net/tcp").ok()?, port)?;
    match list("/proc/net/tcp6") {
        Ok(text) => add(&mut counts, &text, port)?,
        // A kernel without IPv6 has no second list.
        Err(error) if error.kind() == io::ErrorKind::NotFound => (),
        Err(_) => return None,
    }
    Some(counts)
}

/// All of a text that is not longer than this.
fn read_within(source: impl Read, most: u64) -> io::Result<String> {
    let mut text = String::new();
    match source.take(most + 1).read_to_string(&mut text)? {
        length if length as u64 > most => Err(io::ErrorKind::FileTooLarge.into()),
        _ => Ok(text),
    }
}

/// Adds the connections to this port in a list of the kernel.
fn add(counts: &mut Counts, list: &str, port: u16) -> Option<()> {
    let sockets = TcpNetEntries::from_buf_read(list.as_bytes(), current_system_info()).ok()?;
    for socket in sockets.0.iter().filter(|socket| socket.local_address.port() == port) {
        if let Some((_, name)) = NAMES.iter().find(|(state, _)| *state == socket.state) {
            *counts.entry(name).or_default() += 1;
        }
    }
    Some(())
}

/// All states but that of the listener.
const NAMES: [(TcpState, &str); 10] = [
    (TcpState::SynRecv, "syn-recv"),
    (TcpState::NewSynRecv, "syn-recv"),
    (TcpState::Established, "established"),
    (TcpState::FinWait1, "fin-wait-1"),
    (TcpState::FinWait2, "fin-wait-2"),
    (TcpState::TimeWait, "time-wait"),
    (TcpState::CloseWait, "close-wait"),
    (TcpState::LastAck, "last-ack"),
    (TcpState::Closing, "closing"),
    (TcpState::Close, "close"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The listener at port 7, three connections to it, and one of its clients.
    const LIST: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0007 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1
   1: 0100007F:0007 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 12 1
   2: 0100007F:0007 0100007F:9C41 01 00000000:00000000 00:00000000 00000000     0        0 13 1
   3: 0100007F:0007 0100007F:9C42 06 00000000:00000000 03:00000000 00000000     0        0 0 3
   4: 0100007F:9C40 0100007F:0007 01 00000000:00000000 00:00000000 00000000     0        0 14 1
";

    #[test]
    fn the_connections_to_the_port_are_counted_and_neither_its_listener_nor_its_clients() {
        let mut counts = Counts::new();
        add(&mut counts, LIST, 7).expect("a list");
        assert_eq!(counts, Counts::from([("established", 2), ("time-wait", 1)]));
    }

    #[test]
    fn a_list_that_is_too_long_is_not_read_to_its_end() {
        let length = LIST.len() as u64;
        assert_eq!(read_within(LIST.as_bytes(), length).expect("it fits"), LIST);
        assert!(read_within(LIST.as_bytes(), length - 1).is_err());
        assert!(read_within(std::io::repeat(b'x'), 1000).is_err());
    }

    #[test]
    fn an_attempt_without_result_is_remembered() {
        let states = TcpStates::default();
        let fresh_until = Instant::now() + Duration::from_secs(60);
        *states.0.lock().expect("sound") = Some(Last { counts: None, fresh_until });
        assert_eq!(states.count(7, 1), None);
        assert_eq!(states.count(7, MOST_CONNECTIONS + 1), None);
    }
}
