//! The kernel's table of TCP sockets, in the network namespace of the calling thread.

use std::fs;

use anyhow::{Context, Result};

/// A line of `/proc/net/tcp`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) port: u16,
    pub(crate) peer_port: u16,
    pub(crate) state: u8,
    /// Bytes that wait to be sent or acknowledged.
    pub(crate) unacknowledged: u64,
    pub(crate) timer: u8,
    pub(crate) inode: u64,
}

pub(crate) const ESTABLISHED: u8 = 1;
/// No timer runs, so the kernel never probes the peer.
pub(crate) const NO_TIMER: u8 = 0;

/// The sockets that have this port on their side.
pub(crate) fn on_port(port: u16) -> Result<Vec<Entry>> {
    Ok(table()?.into_iter().filter(|entry| entry.port == port).collect())
}

/// The sockets that have this port on the other side.
pub(crate) fn connected_to(port: u16) -> Result<Vec<Entry>> {
    Ok(table()?.into_iter().filter(|entry| entry.peer_port == port).collect())
}

fn table() -> Result<Vec<Entry>> {
    let text = fs::read_to_string("/proc/thread-self/net/tcp").context("no table of sockets")?;
    Ok(text.lines().skip(1).filter_map(parse).collect())
}

fn parse(line: &str) -> Option<Entry> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let port = |field: &str| Some(hex(field.split_once(':')?.1)? as u16);
    Some(Entry {
        port: port(fields.get(1)?)?,
        peer_port: port(fields.get(2)?)?,
        state: hex(fields.get(3)?)? as u8,
        unacknowledged: hex(fields.get(4)?.split_once(':')?.0)?,
        timer: hex(fields.get(5)?.split_once(':')?.0)? as u8,
        inode: fields.get(9)?.parse().ok()?,
    })
}
