//! A line of the server's log that concerns a connection.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use reactor_server::Reason;

use super::moment::Moment;

/// A line of the server's log that concerns a connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line {
    pub(super) at: Moment,
    pub(super) event: Event,
}

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Event {
    /// The server began to listen: connections of an earlier one are gone.
    Listening,
    Opened(Connection),
    Closed(Connection, Closing),
    /// The server had no room for this number of lines.
    Dropped(u64),
}

/// A connection, as both of its lines name it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Connection {
    pub(super) fd: u32,
    pub(super) peer: SocketAddr,
}

/// What a close line says. The original program's has only the thread.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Closing {
    /// The thread that owned the connection.
    pub(super) thread: u32,
    /// How long it was open, in milliseconds.
    pub(super) open: Option<u64>,
    pub(super) messages: Option<u64>,
    pub(super) received: Option<u64>,
    pub(super) sent: Option<u64>,
    pub(super) reason: Option<&'static str>,
}

/// A reason that this version does not know.
const OTHER: &str = "other";

/// Parses a line. `None` if it concerns no connection, or is cut.
pub(super) fn parse(line: &[u8]) -> Option<Line> {
    let line = str::from_utf8(line).ok()?.trim_end_matches(['\n', '\r']);
    let (at, text) = Moment::at_start_of(line)?;
    let text = text.strip_prefix(' ')?;
    let event = if let Some(rest) = text.strip_prefix("new connection ") {
        opened(rest)?
    } else if let Some(rest) = text.strip_prefix("connection close ") {
        closed(rest)?
    } else if let Some(rest) = text.strip_prefix("WARN ") {
        Event::Dropped(rest.strip_suffix(" log lines were dropped")?.parse().ok()?)
    } else {
        text.strip_prefix("listening on ").map(|_| Event::Listening)?
    };
    Some(Line { at, event })
}

/// `fd=37,ip=127.0.0.1,port=51178, thread id is 2548.`
fn opened(text: &str) -> Option<Event> {
    let (connection, rest) = connection(text)?;
    let _: u32 = rest.strip_prefix(", thread id is ")?.strip_suffix('.')?.parse().ok()?;
    Some(Event::Opened(connection))
}

/// `fd=43,ip=127.0.0.1,port=51190 is 2553.`, perhaps with fields behind it.
fn closed(text: &str) -> Option<Event> {
    let (connection, rest) = connection(text)?;
    let (thread, fields) = rest.strip_prefix(" is ")?.split_once('.')?;
    let mut closing = Closing { thread: thread.parse().ok()?, ..Closing::default() };
    for field in fields.split_ascii_whitespace() {
        closing.read(field)?;
    }
    closing.is_whole().then_some(Event::Closed(connection, closing))
}

impl Closing {
    /// Returns whether it has all fields, or none as in the original program.
    fn is_whole(&self) -> bool {
        let Closing { thread: _, open, messages, received, sent, reason } = self;
        let numbers = [open, messages, received, sent].map(Option::is_some);
        numbers.iter().all(|&it| it == reason.is_some())
    }

    /// Reads a field such as `in=2400000B`. Later versions may have more.
    fn read(&mut self, field: &str) -> Option<()> {
        let (name, value) = field.split_once('=')?;
        let bytes = || value.strip_suffix('B')?.parse().ok();
        match name {
            "open" => self.open = Some(milliseconds(value.strip_suffix('s')?)?),
            "messages" => self.messages = Some(value.parse().ok()?),
            "in" => self.received = Some(bytes()?),
            "out" => self.sent = Some(bytes()?),
            "reason" => {
                let known = Reason::ALL.iter().map(|it| it.as_str()).find(|&it| it == value);
                self.reason = Some(known.unwrap_or(OTHER));
            }
            _ => {}
        }
        Some(())
    }
}

/// `32.117`, in which the milliseconds have three digits.
fn milliseconds(text: &str) -> Option<u64> {
    let (seconds, thousandths) = text.split_once('.').filter(|it| it.1.len() == 3)?;
    let (seconds, thousandths): (u64, u64) = (seconds.parse().ok()?, thousandths.parse().ok()?);
    seconds.checked_mul(1000)?.checked_add(thousandths)
}

/// `fd=37,ip=127.0.0.1,port=51178`, and what follows.
fn connection(text: &str) -> Option<(Connection, &str)> {
    let (fd, rest) = text.strip_prefix("fd=")?.split_once(',')?;
    let (ip, rest) = rest.strip_prefix("ip=")?.split_once(',')?;
    let rest = rest.strip_prefix("port=")?;
    let end = rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(rest.len());
    let (port, rest) = rest.split_at(end);
    let peer = address(ip, port.parse().ok()?)?;
    Some((Connection { fd: fd.parse().ok()?, peer }, rest))
}

/// An address; that of a link has the number of its network interface behind a `%`.
fn address(ip: &str, port: u16) -> Option<SocketAddr> {
    match ip.split_once('%') {
        None => Some(SocketAddr::new(ip.parse::<IpAddr>().ok()?, port)),
        Some((ip, scope)) => {
            Some(SocketAddrV6::new(ip.parse().ok()?, port, 0, scope.parse().ok()?).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peer(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn event(text: &str) -> Option<Event> {
        parse(text.as_bytes()).map(|line| line.event)
    }

    #[test]
    fn the_lines_of_the_original_program_and_of_ours_are_read() {
        let opened = Event::Opened(Connection { fd: 37, peer: peer("127.0.0.1:51178") });
        let text = "new connection fd=37,ip=127.0.0.1,port=51178, thread id is 2548.";
        for time in ["2024-05-04 21:45:21", "2026-05-04 21:45:21.103"] {
            assert_eq!(event(&format!("{time} {text}")), Some(opened), "{time}");
            assert_eq!(event(&format!("{time} {text}\r\n")), Some(opened), "{time}");
        }
        let connection = Connection { fd: 43, peer: peer("127.0.0.1:51190") };
        let text = "2024-05-04 21:45:28 connection close fd=43,ip=127.0.0.1,port=51190 is 2553.";
        let closing = Closing { thread: 2553, ..Closing::default() };
        assert_eq!(event(text), Some(Event::Closed(connection, closing)));
        let fields = " open=32.117s messages=100000 in=2400000B out=2400001B reason=eof";
        let closing = Closing {
            open: Some(32_117),
            messages: Some(100_000),
            received: Some(2_400_000),
            sent: Some(2_400_001),
            reason: Some("eof"),
            ..closing
        };
        assert_eq!(event(&format!("{text}{fields}")), Some(Event::Closed(connection, closing)));
        assert_eq!(event(&format!("{text}{fields} more=5")), event(&format!("{text}{fields}")));
    }

    #[test]
    fn addresses_may_be_ipv6_and_have_a_scope() {
        let of = |ip: &str| {
            let text = format!("2026-05-04 21:45:21 new connection fd=3,ip={ip},port=7, thread");
            event(&format!("{text} id is 1."))
        };
        let expected = |text| Some(Event::Opened(Connection { fd: 3, peer: peer(text) }));
        assert_eq!(of("::1"), expected("[::1]:7"));
        assert_eq!(of("fe80::1%2"), expected("[fe80::1%2]:7"));
        assert_eq!((of("here"), of("fe80::1%eth0"), of("")), (None, None, None));
    }

    #[test]
    fn other_lines_are_no_event_and_neither_is_one_that_is_cut() {
        for text in [
            "",
            "2026-05-04 21:45:21.103",
            "2026-05-04 21:45:21.103 summary connections=30",
            "2026-13-04 21:45:21.103 listening on 127.0.0.1:9",
            "new connection fd=37,ip=127.0.0.1,port=51178, thread id is 2548.",
        ] {
            assert_eq!(event(text), None, "{text}");
        }
        let dropped = event("2026-05-04 21:45:21.103 WARN 7 log lines were dropped");
        assert_eq!(dropped, Some(Event::Dropped(7)));
        let whole = "2026-05-04 21:45:28.000 connection close fd=43,ip=127.0.0.1,port=51190 is \
                     2553. open=32.117s messages=5 in=6B out=7B reason=eof";
        let fields = whole.find(" open=").expect("it is there");
        let reason = whole.find(" reason=").expect("it is there");
        for end in (0..fields).chain(fields + 2..reason + 8) {
            assert_eq!(event(&whole[..end]), None, "{}", &whole[..end]);
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_the_parser_panic(
            words in prop::collection::vec(prop_oneof![
                Just("2026-05-04 21:45:21.103 ".to_owned()), Just("new connection ".to_owned()),
                Just("connection close ".to_owned()), Just("fd=1,ip=::1,port=2".to_owned()),
                Just(" is 3.".to_owned()), Just(" open=".to_owned()), "[0-9.sBé=]{0,12}", ".{0,9}",
            ], 0..7),
        ) {
            let _ = parse(words.concat().as_bytes());
        }
    }
}
