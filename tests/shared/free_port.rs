//! Ports for programs that cannot choose one.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Below the ephemeral range: a client of another program may use an ephemeral port by the
/// time a server binds it, and one that connects to such a port may connect to itself.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port that nothing listens on, and another one each time. `None` if all are in use.
pub(crate) fn free_port() -> Option<u16> {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(101);
    let next = || start.wrapping_add(TRIED.fetch_add(1, Relaxed)) % u32::from(COUNT);
    let mut ports = std::iter::repeat_with(|| FIRST + next() as u16).take(COUNT.into());
    ports.find(|&port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok())
}
