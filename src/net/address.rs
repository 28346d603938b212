//! Addresses of peers, as people write them.

use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// The address of a peer in 24 bytes instead of the 32 of a [`SocketAddr`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address {
    ip: IpAddr,
    port: u16,
    /// The number of the interface that a link-local address belongs to, or 0.
    scope: u32,
}

/// A client that reaches an IPv6 socket over IPv4 has its IPv4 address.
impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        let (ip, port) = (address.ip().to_canonical(), address.port());
        Address { ip, port, scope: scope(address) }
    }
}

/// Returns the number of the interface that a link-local address belongs to, or 0.
pub(crate) fn scope(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    }
}

impl From<Address> for SocketAddr {
    fn from(Address { ip, port, scope }: Address) -> SocketAddr {
        match ip {
            IpAddr::V4(_) => SocketAddr::new(ip, port),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
        }
    }
}

/// The address of a peer as it is everywhere above the sockets: plain IPv4, or IPv6.
pub(crate) fn plain(address: SocketAddr) -> SocketAddr {
    Address::from(address).into()
}

/// Writes an address without its port, and with its scope if it has one.
#[derive(Debug)]
pub(crate) struct Ip(pub(crate) SocketAddr);

impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            SocketAddr::V6(address) if address.scope_id() != 0 => {
                write!(f, "{}%{}", address.ip(), address.scope_id())
            }
            address => write!(f, "{}", address.ip()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Ip(plain(text.parse().expect("an address"))).to_string()
    }

    #[test]
    fn ipv4_is_plain_and_a_scope_is_kept() {
        assert_eq!(shown("[::ffff:192.0.2.1]:9009"), "192.0.2.1");
        assert_eq!(shown("[fe80::1%7]:9009"), "fe80::1%7");
        assert_eq!(shown("[::1]:9009"), "::1");
    }
}
