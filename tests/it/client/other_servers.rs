//! Servers that do not echo: the client says so, and ends.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use crate::support::client::told;
use crate::support::fake_server::{liar, send, server};

const FRAMINGS: [&str; 3] = ["raw", "len32", "line"];
const THREE: [&str; 6] = ["-c", "3", "-n", "5", "--timeout", "300ms"];

/// Reads until the peer has had enough.
fn drain(stream: &mut TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(1..) = stream.read(&mut buffer) {}
}

#[test]
fn one_that_discards_is_given_up_in_time() {
    let discard = liar(|_, _| {});
    for flags in [&[][..], &["--rate", "1k"], &["--reconnect-every", "2"], &["--pipeline", "9"]] {
        let told = told(discard, &[&THREE, flags].concat());
        told.assert_complaints(&[("no reply in time", 3)]);
        assert_eq!((told.number("errors"), told.number("messages")), (3, 0));
    }
}

#[test]
fn one_that_talks_without_end_is_not_believed() {
    let chargen = server(|_, mut stream| {
        let line: Vec<u8> = (b' '..b'j').chain(*b"\r\n").collect();
        stream.set_write_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        while std::io::Write::write_all(&mut stream, &line).is_ok() {}
    });
    for framing in FRAMINGS {
        let told = told(chargen, &[&THREE[..], &["--framing", framing]].concat());
        let (mismatches, errors) = (told.number("mismatches"), told.number("errors"));
        assert_eq!((told.code, mismatches, errors), (1, 3, 0), "{told:?}");
        // It begins with what the server says.
        let says = ["bytes after the last reply, of 0: 20212223", ": 20212223", "got 20212223"];
        assert!(says.iter().any(|says| told.stderr.contains(says)), "{}", told.stderr);
    }
}

#[test]
fn one_that_speaks_http_is_quoted() {
    let http = liar(|stream, _| {
        send(stream, b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        let _ = stream.shutdown(std::net::Shutdown::Both);
    });
    // Its first line is longer than the message was.
    let too_long = "reply 0 is longer than it should be: 485454502f312e312034303020426164";
    let says = [", got 485454502f312e312034303020426164", too_long, too_long];
    for (framing, says) in FRAMINGS.iter().zip(says) {
        let told = told(http, &[&THREE[..], &["--framing", framing]].concat());
        let (mismatches, errors) = (told.number("mismatches"), told.number("errors"));
        assert_eq!((told.code, mismatches, errors), (1, 3, 0), "{told:?}");
        assert!(told.stderr.contains(says), "{says}: {}", told.stderr);
    }
}

#[test]
fn one_that_says_something_first_is_quoted() {
    let banner = server(|_, mut stream| {
        send(&mut stream, b"220 ready\r\n");
        drain(&mut stream);
    });
    for framing in FRAMINGS {
        // It may come before the first message or after it.
        let told = told(banner, &[&THREE[..], &["--framing", framing]].concat());
        let (mismatches, errors) = (told.number("mismatches"), told.number("errors"));
        assert_eq!((told.code, mismatches + errors), (1, 3), "{told:?}");
        let is_known = |(text, _): &(String, u64)| {
            let says = ["323230207265616479", "no reply in time", "has 10 bytes instead of 24"];
            says.iter().any(|says| text.contains(says))
        };
        assert!(told.complaints().iter().all(is_known), "{told:?}");
    }
}

#[test]
fn one_that_closes_at_once_is_an_error_on_each() {
    let closing = server(|_, stream| drop(stream));
    for flags in [&[][..], &["--rate", "1k"], &["--reconnect-every", "2"], &["--hold", "1s"]] {
        let told = told(closing, &[&THREE, flags].concat());
        assert_eq!((told.code, told.number("errors")), (1, 3), "{told:?}");
        assert_eq!((told.number("mismatches"), told.number("messages")), (0, 0), "{told:?}");
        let is_known = |(text, _): &(String, u64)| {
            let says = ["the server closed a connection", "the connection broke: "];
            says.iter().any(|says| text.starts_with(says))
        };
        assert!(told.complaints().iter().all(is_known), "{told:?}");
    }
}
