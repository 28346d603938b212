//! Which addresses belong to this machine.

use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Whether an address is one of this machine's: a socket can be bound to no other.
pub(crate) fn is_local(address: IpAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(address, 0)).is_ok()
}
