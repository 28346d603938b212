//! The kernel's table of TCP sockets, as the calling thread's namespace has it.

use std::fs;

use anyhow::{Context, Result};

/// A line of `/proc/net/tcp`.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub port: u16,
    pub peer_port: u16,
    pub state: u8,
    /// Bytes that are sent and not acknowledged, or wait to be sent.
    pub unacknowledged: u64,
    pub timer: u8,
    pub inode: u64,
}

pub const ESTABLISHED: u8 = 1;
/// No timer runs: nothing will ever be asked of the peer.
pub const NO_TIMER: u8 = 0;

/// The sockets that have this port on their side.
pub fn on_port(port: u16) -> Result<Vec<Entry>> {
    let text = fs::read_to_string("/proc/thread-self/net/tcp").context("no table of sockets")?;
    Ok(text.lines().skip(1).filter_map(parse).filter(|entry| entry.port == port).collect())
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
