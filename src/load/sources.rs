//! The source addresses of connections.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::ops::RangeInclusive;

use crate::net::address::scope;
use crate::program::proc_file::numbers;

/// The source addresses of connections, which use them in turn.
///
/// A source address can have as many connections to one server as it has ports, about
/// 28,000, and the kernel takes long to find the second half of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources(Vec<Span>);

/// Addresses in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    first: IpAddr,
    /// The number of the interface that a link-local address belongs to, or 0.
    scope: u32,
    count: u64,
}

/// How many sources a load uses that reopens connections: each closed connection keeps
/// its port for up to a minute.
const FOR_CHURN: usize = 256;

impl Sources {
    /// No address: the kernel chooses one.
    pub fn any() -> Sources {
        Sources::default()
    }

    /// Adds the addresses from `first` to `last`. If they are of two families or not in
    /// order, it adds nothing and returns `false`.
    pub fn add(&mut self, first: IpAddr, last: IpAddr) -> bool {
        let count = match (first, last) {
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
                number(last).checked_sub(number(first)).map(|more| more.saturating_add(1))
            }
            _ => None,
        };
        let count = count.and_then(|count| u64::try_from(count).ok());
        self.0.extend(count.map(|count| Span { first, scope: 0, count }));
        count.is_some()
    }

    /// One address, with its scope.
    pub fn one(address: SocketAddr) -> Sources {
        Sources(vec![Span { first: address.ip(), scope: scope(address), count: 1 }])
    }

    /// Adds other sources after these.
    pub fn append(&mut self, others: &Sources) {
        self.0.extend_from_slice(&others.0);
    }

    /// The sources of a load that names none. All of 127.0.0.0/8 is this machine, so a
    /// server there never needs more ports than there are. `churn` says that connections
    /// are reopened. Each process starts at another address, so that several can load one
    /// server.
    pub fn automatic(target: SocketAddr, connections: usize, churn: bool) -> Sources {
        let easily_found = port_range().unwrap_or(DEFAULT_PORTS).count() / 2;
        let count = if churn { FOR_CHURN } else { connections.div_ceil(easily_found.max(1)) };
        match target.ip() {
            IpAddr::V4(ip) if ip.is_loopback() && count > 1 => {
                let place = RandomState::new().hash_one(std::process::id()) as u32 % (1 << 16);
                let first = Ipv4Addr::from(0x7f01_0000 + (place << 7));
                Sources(vec![Span { first: first.into(), scope: 0, count: count as u64 }])
            }
            _ => Sources::any(),
        }
    }

    /// How many addresses there are; 0 if the kernel chooses.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|span| span.count).fold(0, u64::saturating_add)
    }

    /// Whether all are of the address family of `target`.
    pub fn match_family(&self, target: IpAddr) -> bool {
        self.0.iter().all(|span| span.first.is_ipv4() == target.is_ipv4())
    }

    /// The source of connection `number`, with port 0.
    pub fn nth(&self, number: u64) -> Option<SocketAddr> {
        let mut index = number.checked_rem(self.count())?;
        for span in &self.0 {
            if index < span.count {
                return Some(span.at(index));
            }
            index -= span.count;
        }
        None
    }
}

impl Span {
    fn at(&self, index: u64) -> SocketAddr {
        let address = number(self.first) + u128::from(index);
        match self.first {
            IpAddr::V4(_) => (Ipv4Addr::from(address as u32), 0).into(),
            IpAddr::V6(_) => SocketAddrV6::new(address.into(), 0, 0, self.scope).into(),
        }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// The ports that the kernel chooses for connections by default.
const DEFAULT_PORTS: RangeInclusive<u16> = 32768..=60999;

/// The ports that the kernel chooses for connections, or `None` if they cannot be read.
pub fn port_range() -> Option<RangeInclusive<u16>> {
    let ports = numbers("/proc/sys/net/ipv4/ip_local_port_range");
    let mut ports = ports.into_iter().map_while(|port| u16::try_from(port).ok());
    Some(ports.next()?..=ports.next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn addresses_are_used_in_turn() {
        let mut sources = Sources::any();
        assert_eq!(sources.nth(7), None);
        assert!(sources.add(ip("127.0.0.254"), ip("127.0.1.1")));
        assert!(sources.add(ip("10.0.0.1"), ip("10.0.0.1")));
        let used: Vec<_> =
            (0..6).filter_map(|number| sources.nth(number)).map(|it| it.ip()).collect();
        let expected = ["127.0.0.254", "127.0.0.255", "127.0.1.0", "127.0.1.1", "10.0.0.1"];
        assert_eq!(used[..5], expected.map(ip));
        assert_eq!(used[5], used[0]);
    }

    #[test]
    fn an_invalid_range_is_refused() {
        let mut sources = Sources::any();
        assert!(!sources.add(ip("127.0.0.2"), ip("127.0.0.1")));
        assert!(!sources.add(ip("127.0.0.1"), ip("::1")));
        assert!(sources.add(ip("fd00::1"), ip("fd00::ffff")) && sources.count() == 0xffff);
        assert!(!sources.match_family(ip("127.0.0.1")) && sources.match_family(ip("::1")));
    }

    #[test]
    fn automatic_sources_are_many_where_one_has_too_few_ports() {
        let local = SocketAddr::new(ip("127.0.0.1"), 9009);
        assert_eq!(Sources::automatic(local, 100, false), Sources::any());
        let many = Sources::automatic(local, 1_000_000, false);
        let ports = port_range().unwrap_or(DEFAULT_PORTS).count();
        assert!(many.count() as usize * ports / 2 >= 1_000_000);
        let last = many.nth(many.count() - 1).expect("one");
        assert!(many.nth(0).is_some_and(|it| it.ip().is_loopback()) && last.ip().is_loopback());
        assert!(Sources::automatic(local, 1, true).count() > 1);
        let far = SocketAddr::new(ip("192.0.2.1"), 9009);
        assert_eq!(Sources::automatic(far, 1_000_000, true), Sources::any());
    }
}
