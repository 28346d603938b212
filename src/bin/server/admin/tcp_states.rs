//! The TCP states of the server's connections, as the kernel has them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use procfs::net::{TcpState, tcp, tcp6};

/// The kernel writes a line for every socket of the machine, and this many take some 20 ms.
const MOST_CONNECTIONS: u64 = 20_000;
/// They are counted no more often than this, however many ask.
const INTERVAL: Duration = Duration::from_secs(1);

/// Counts them, and remembers for a moment.
#[derive(Debug, Default)]
pub(super) struct TcpStates(Mutex<Option<(Instant, Counts)>>);

/// How many connections are in each state, by the name of the state.
pub(super) type Counts = BTreeMap<&'static str, u64>;

impl TcpStates {
    /// The states of the connections to this port; `None` if there are too many sockets, or if the
    /// kernel does not say.
    pub(super) fn count(&self, port: u16, connections: u64) -> Option<Counts> {
        if connections > MOST_CONNECTIONS {
            return None;
        }
        // Nothing panics while it is held.
        let mut last = self.0.lock().ok()?;
        if let Some((at, counts)) = &*last
            && at.elapsed() < INTERVAL
        {
            return Some(counts.clone());
        }
        let counts = count(port)?;
        *last = Some((Instant::now(), counts.clone()));
        Some(counts)
    }
}

fn count(port: u16) -> Option<Counts> {
    let mut counts: Counts = NAMES.iter().map(|&(_, name)| (name, 0)).collect();
    // A kernel without IPv6 has no second list.
    let sockets = tcp().ok()?.into_iter().chain(tcp6().into_iter().flatten());
    for socket in sockets.filter(|socket| socket.local_address.port() == port) {
        if let Some((_, name)) = NAMES.iter().find(|(state, _)| *state == socket.state) {
            *counts.entry(name).or_default() += 1;
        }
    }
    Some(counts)
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
