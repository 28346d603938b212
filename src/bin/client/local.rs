//! Which addresses belong to this machine.

use std::net::{SocketAddr, UdpSocket};

/// Whether an address is one of this machine's: a socket can be bound to no other.
pub(crate) fn is_local(mut address: SocketAddr) -> bool {
    address.set_port(0);
    UdpSocket::bind(address).is_ok()
}
