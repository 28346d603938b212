//! Where a server is, as people write it: `localhost:9009`, `[::1]:9009`, `fe80::1%eth0`.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};

/// A name, an IPv4 address, or an IPv6 address, with or without a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host(String);

/// A server: a host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The machine.
    pub host: Host,
    /// The port of the server there.
    pub port: u16,
}

/// Parses `HOST:PORT`, `[IPv6]:PORT` or `HOST`.
///
/// # Errors
/// A sentence that says what is wrong, and what would be right.
pub fn host_and_port(text: &str) -> Result<(Host, Option<u16>), String> {
    if let Some((scheme, rest)) = text.split_once("://") {
        return Err(format!("write {rest} without {scheme}://"));
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or("the ] is missing, as in [::1]:9009")?;
        if !is_ipv6(address) {
            return Err(format!("{address:?} is no IPv6 address; only those have brackets"));
        }
        let port = match rest.strip_prefix(':') {
            Some(text) => Some(port(text)?),
            None if rest.is_empty() => None,
            None => return Err("a port follows after a colon, as in [::1]:9009".to_owned()),
        };
        return Ok((Host::parse(address)?, port));
    }
    match text.rsplit_once(':') {
        Some(_) if is_ipv6(text) => Ok((Host::parse(text)?, None)),
        Some((host, _)) if host.contains(':') => {
            Err("an IPv6 address with a port has brackets, as in [::1]:9009".to_owned())
        }
        Some((host, text)) => Ok((Host::parse(host)?, Some(port(text)?))),
        None => Ok((Host::parse(text)?, None)),
    }
}

/// Parses a port; 0 is one.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn port(text: &str) -> Result<u16, String> {
    match text {
        "" => Err("the port is missing, as in localhost:9009".to_owned()),
        text => text.parse().map_err(|_| format!("{text:?} is no port, a number up to 65535")),
    }
}

impl Host {
    fn parse(text: &str) -> Result<Host, String> {
        match text.parse() {
            Ok(IpAddr::V6(ip)) if ip.is_unicast_link_local() => {
                Err(format!("{ip} needs its network interface, as in {ip}%eth0"))
            }
            Ok(ip) => Ok(Host(ip.to_canonical().to_string())),
            Err(_) if is_ipv6(text) || is_name(text) => Ok(Host(text.to_owned())),
            Err(_) if text.is_empty() => {
                Err("the host is missing, as in localhost:9009".to_owned())
            }
            Err(_) => Err(format!(
                "{text:?} is no host: expected a name or an IP address, such as localhost, \
                 127.0.0.1 or ::1"
            )),
        }
    }

    /// The address, if this is no name. A scope makes it none: the system knows its number.
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }

    /// Returns whether the system's resolver must be asked for addresses.
    pub fn is_name(&self) -> bool {
        is_name(&self.0)
    }
}

impl Target {
    /// All its addresses, each once, in the order of the system's resolver. An address is
    /// used as it is.
    ///
    /// # Errors
    /// The resolver does not know the name, or there is no interface of the scope.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let host = self.host.0.as_str();
        let found =
            (host, self.port).to_socket_addrs().map_err(|error| match host.split_once('%') {
                Some((_, scope)) => {
                    io::Error::other(format!("this machine has no network interface {scope}"))
                }
                None => error,
            });
        let mut addresses = Vec::new();
        for address in found? {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Ok(addresses)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target { host, port } = self;
        if host.0.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Returns whether it is an IPv6 address, with or without a scope.
fn is_ipv6(text: &str) -> bool {
    let (address, scope) = text.split_once('%').unwrap_or((text, "0"));
    let is_scope = !scope.is_empty() && !scope.contains([':', '/', '%', ' ']);
    address.parse::<Ipv6Addr>().is_ok() && is_scope
}

/// Returns whether it may be a name. What ends with a number is not: resolvers take `9009`
/// for 0.0.35.49, and `127.1` for 127.0.0.1.
fn is_name(text: &str) -> bool {
    let last = text.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let is_number = last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit());
    let in_names = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    !is_number && text.chars().all(in_names) && !text.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(String, Option<u16>), String> {
        host_and_port(text).map(|(host, port)| (host.0, port))
    }

    #[test]
    fn a_host_may_have_a_port() {
        for (text, host, port) in [
            ("localhost:9009", "localhost", Some(9009)),
            ("localhost", "localhost", None),
            ("127.0.0.1:0", "127.0.0.1", Some(0)),
            ("::1", "::1", None),
            ("[::1]", "::1", None),
            ("[::1]:9009", "::1", Some(9009)),
            ("::ffff:127.0.0.1", "127.0.0.1", None),
            ("[fe80::1%eth0]:80", "fe80::1%eth0", Some(80)),
            ("fe80::1%br-lan", "fe80::1%br-lan", None),
            ("a-b_c.example.:7", "a-b_c.example.", Some(7)),
        ] {
            assert_eq!(parsed(text), Ok((host.to_owned(), port)), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused_with_what_is_right() {
        for (text, reason) in [
            ("", "the host is missing"),
            (":9009", "the host is missing"),
            ("127.0.0.1:", "the port is missing"),
            ("1.2.3.4:99999", "\"99999\" is no port"),
            ("localhost:http", "\"http\" is no port"),
            ("9009", "\"9009\" is no host"),
            ("127.1:9", "\"127.1\" is no host"),
            ("0x7f000001", "is no host"),
            ("256.0.0.1", "is no host"),
            ("a b", "is no host"),
            ("-c", "is no host"),
            ("[::1", "the ] is missing"),
            ("[127.0.0.1]:9", "\"127.0.0.1\" is no IPv6 address"),
            ("[::1]9009", "after a colon"),
            ("1::2::3:9009", "has brackets"),
            ("fe80::1", "needs its network interface"),
            ("fe80::1%:9", "has brackets"),
            ("tcp://10.0.0.1:9009", "write 10.0.0.1:9009 without tcp://"),
        ] {
            let error = parsed(text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn an_address_is_used_as_it_is() {
        let target = |text| match host_and_port(text) {
            Ok((host, Some(port))) => Target { host, port },
            other => panic!("{text}: {other:?}"),
        };
        for text in ["127.0.0.1:9009", "[::1]:9009"] {
            assert_eq!(target(text).to_string(), text);
            assert_eq!(target(text).addresses().expect("it"), [text.parse().expect("it")]);
            assert!(!target(text).host.is_name());
        }
        assert!(target("localhost:9").host.is_name());
        assert!(!target("[fe80::1%lo]:9").host.is_name());
    }
}
