//! The header of the PROXY protocol, by which a proxy names the client behind it.
//!
//! As HAProxy's `proxy-protocol.txt` of 2020 has it, in both versions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// A block of bytes, perhaps with further fields.
    V2,
}

/// What the bytes so far are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// The beginning of a header.
    Incomplete,
    /// A header, and who it names. `None` is the other end of the connection itself: the proxy
    /// speaks for itself (LOCAL), or does not know (UNKNOWN).
    Complete(Option<SocketAddr>),
    /// No bytes behind these make them a header.
    Wrong,
}

/// The longest header of version 1, with its line break.
const V1_LONGEST: usize = 107;
/// The longest header of version 2 that is taken, so that no peer has 64 KiB kept for it. All
/// fields that proxies send need some hundred bytes.
const V2_LONGEST: usize = 4096;
/// No header that is taken has more bytes.
pub(crate) const LONGEST: usize = V2_LONGEST;

const V1_START: &[u8] = b"PROXY ";
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The bytes of version 2 in front of the addresses.
const V2_FIXED: usize = 16;
/// The kind of field that holds a CRC32C of the header.
const CRC32C: u8 = 3;

impl ProxyProtocol {
    /// Parses a header, of which these are the bytes so far and no more.
    pub(crate) fn parse(self, bytes: &[u8]) -> Header {
        let header = match self {
            ProxyProtocol::V1 => v1(bytes),
            ProxyProtocol::V2 => v2(bytes),
        };
        header.unwrap_or(Header::Wrong)
    }

    /// How many of the bytes that follow an incomplete header belong to it. It may be complete
    /// after them.
    pub(crate) fn belongs(self, header: &[u8], next: &[u8]) -> usize {
        let most = match self {
            ProxyProtocol::V1 => {
                let line =
                    next.iter().position(|&byte| byte == b'\n').map_or(next.len(), |at| at + 1);
                line.min(V1_LONGEST - header.len().min(V1_LONGEST))
            }
            ProxyProtocol::V2 => v2_length(header).unwrap_or(V2_FIXED).saturating_sub(header.len()),
        };
        most.min(next.len())
    }
}

/// Whether the bytes are the start, as far as they go.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, expected)| byte == expected)
}

/// `None` is what is no header.
fn v1(bytes: &[u8]) -> Option<Header> {
    if !begins(bytes, V1_START) {
        return None;
    }
    let Some(line) = bytes.strip_suffix(b"\r\n") else {
        return (bytes.len() < V1_LONGEST).then_some(Header::Incomplete);
    };
    let line = str::from_utf8(line.strip_prefix(V1_START)?).ok()?;
    let mut words = line.split(' ');
    let parse: fn(&str) -> Option<IpAddr> = match words.next()? {
        "UNKNOWN" => return Some(Header::Complete(None)),
        "TCP4" => |word| word.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => |word| word.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return None,
    };
    let (source, _) = (parse(words.next()?)?, parse(words.next()?)?);
    let (port, _) = (v1_port(words.next()?)?, v1_port(words.next()?)?);
    words.next().is_none().then_some(Header::Complete(Some(SocketAddr::new(source, port))))
}

/// Digits without leading zeros.
fn v1_port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit());
    let is_short = word == "0" || !word.starts_with('0');
    (is_plain && is_short).then(|| word.parse().ok())?
}

/// The length of a header of version 2, once it is known.
fn v2_length(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(V2_FIXED - 2..V2_FIXED)?;
    Some(V2_FIXED + usize::from(u16::from_be_bytes([length[0], length[1]])))
}

/// `None` is what is no header.
fn v2(bytes: &[u8]) -> Option<Header> {
    if !begins(bytes, V2_START) || v2_length(bytes).is_some_and(|length| length > V2_LONGEST) {
        return None;
    }
    let is_local = match bytes.get(12) {
        None => return Some(Header::Incomplete),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return None,
    };
    let Some(&family) = bytes.get(13) else { return Some(Header::Incomplete) };
    // The lower half is the transport: unknown, a stream, or datagrams.
    let addresses = match (family >> 4, family & 15) {
        (0, 0..=2) => 0,
        (1, 0..=2) => 12,
        (2, 0..=2) => 36,
        (3, 0..=2) => 216,
        _ => return None,
    };
    match v2_length(bytes) {
        // Its block, whatever is in it, is skipped.
        Some(length) if is_local && bytes.len() >= length => return Some(Header::Complete(None)),
        Some(length) if !is_local && length < V2_FIXED + addresses => return None,
        Some(length) if bytes.len() >= length => {}
        _ => return Some(Header::Incomplete),
    }
    let block = &bytes[V2_FIXED..];
    has_right_fields(bytes, V2_FIXED + addresses)?;
    let port = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    Some(Header::Complete(match family {
        0x11 => Some(SocketAddr::new(IpAddr::from(*block.first_chunk::<4>()?), port(8))),
        0x21 => Some(SocketAddr::new(IpAddr::from(*block.first_chunk::<16>()?), port(32))),
        // Datagrams and local sockets have no address that a TCP peer could have.
        _ => None,
    }))
}

/// Checks the fields that follow the addresses: a kind, a length of two bytes and a value each. A
/// CRC32C among them must be right. `None` if one is not, or is cut.
fn has_right_fields(header: &[u8], mut at: usize) -> Option<()> {
    while at < header.len() {
        let &[kind, high, low] = header.get(at..)?.first_chunk()?;
        let value = at + 3..at + 3 + usize::from(u16::from_be_bytes([high, low]));
        let bytes = header.get(value.clone())?;
        if kind == CRC32C {
            let zeroed = |(at, &byte): (usize, &u8)| if value.contains(&at) { 0 } else { byte };
            let expected = crc32c(header.iter().enumerate().map(zeroed)).to_be_bytes();
            (bytes == expected).then_some(())?;
        }
        at = value.end;
    }
    Some(())
}

/// The checksum of RFC 4960, appendix B.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let bit = |crc: u32, _| crc >> 1 ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
    !bytes.fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(byte), bit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use ProxyProtocol::{V1, V2};

    /// Every beginning of it is incomplete, and what is behind it does not belong to it.
    fn assert_header(version: ProxyProtocol, header: &[u8], source: Option<&str>) {
        let source = source.map(|source| source.parse().expect("an address"));
        let stream = [header, b"PROXY \r\n behind"].concat();
        for cut in 0..header.len() {
            assert_eq!(version.parse(&header[..cut]), Header::Incomplete, "{cut}");
            let next = &stream[cut..];
            let belongs = version.belongs(&header[..cut], next);
            assert!((1..=header.len() - cut).contains(&belongs), "{cut}: {belongs}");
        }
        assert_eq!(version.parse(header), Header::Complete(source));
    }

    fn block(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        [V2_START, &[command, family], &length, rest].concat()
    }

    const IPV4: [u8; 12] = [10, 0, 0, 1, 10, 0, 0, 2, 0x12, 0x34, 0, 80];

    #[test]
    fn a_line_names_the_client() {
        assert_header(V1, b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n", Some("1.2.3.4:9"));
        assert_header(V1, b"PROXY TCP6 ::1 ::2 65535 0\r\n", Some("[::1]:65535"));
        assert_header(V1, b"PROXY UNKNOWN\r\n", None);
        assert_header(V1, b"PROXY UNKNOWN ffff::1 what ever 1 2\r\n", None);
    }

    #[test]
    fn a_block_names_the_client_and_may_have_fields_that_nobody_knows() {
        assert_header(V2, &block(0x21, 0x11, &IPV4), Some("10.0.0.1:4660"));
        let with_field = [&IPV4[..], &[0xee, 0, 2, 1, 2]].concat();
        assert_header(V2, &block(0x21, 0x11, &with_field), Some("10.0.0.1:4660"));
        let ipv6 = [&[0; 15][..], &[1], &[0; 15], &[2], &[0, 7, 0, 8]].concat();
        assert_header(V2, &block(0x21, 0x21, &ipv6), Some("[::1]:7"));
        assert_header(V2, &block(0x21, 0, &[]), None);
        assert_header(V2, &block(0x21, 0x12, &IPV4), None);
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_names_nobody_whatever_its_block_holds() {
        assert_header(V2, &block(0x20, 0, &[]), None);
        assert_header(V2, &block(0x20, 0x11, &IPV4), None);
        assert_header(V2, &block(0x20, 0x11, &[1, 2, 3]), None);
    }

    #[test]
    fn a_checksum_that_is_there_must_be_right() {
        assert_eq!(crc32c(b"123456789".iter().copied()), 0xe306_9283);
        let mut header = block(0x21, 0x11, &[&IPV4[..], &[CRC32C, 0, 4, 0, 0, 0, 0]].concat());
        let (end, crc) = (header.len(), crc32c(header.iter().copied()).to_be_bytes());
        header[end - 4..].copy_from_slice(&crc);
        assert_header(V2, &header, Some("10.0.0.1:4660"));
        header[17] ^= 1;
        assert_eq!(V2.parse(&header), Header::Wrong);
        let short = block(0x21, 0x11, &[&IPV4[..], &[CRC32C, 0, 2, 0, 0]].concat());
        assert_eq!(V2.parse(&short), Header::Wrong);
    }

    #[test]
    fn what_is_no_header_is_wrong_as_soon_as_that_is_known() {
        for bytes in [
            &b"G"[..],
            b"PROXY TCP4 ::1 ::2 1 2\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
            b"PROXY TCP5 \r\n",
            V2_START,
            &[b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat(),
        ] {
            assert_eq!(V1.parse(bytes), Header::Wrong, "{bytes:?}");
        }
        for bytes in [
            &b"P"[..],
            &block(0x31, 0x11, &IPV4)[..13],
            &block(0x22, 0x11, &IPV4),
            &block(0x21, 0x41, &IPV4),
            &block(0x21, 0x13, &IPV4),
            &block(0x21, 0x11, &IPV4[1..])[..16],
            &block(0x21, 0x11, &[&IPV4[..], &[1, 0, 9]].concat()),
            &block(0x21, 0x11, &[0; 5000])[..16],
        ] {
            assert_eq!(V2.parse(bytes), Header::Wrong, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_have_an_answer_and_a_header_an_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for version in [V1, V2] {
                for start in [&b""[..], V1_START, V2_START, &[V2_START, &[0x21, 0x11]].concat()] {
                    let stream = [start, &bytes].concat();
                    let mut at = 0;
                    while at < stream.len() && version.parse(&stream[..at]) == Header::Incomplete {
                        let belongs = version.belongs(&stream[..at], &stream[at..]);
                        prop_assert!(belongs > 0);
                        at += belongs;
                    }
                    prop_assert!(at <= LONGEST);
                }
            }
        }
    }
}
