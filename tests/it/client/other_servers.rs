//! Servers that are no echo servers: the client reports that, and ends.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;

use crate::support::client::run_json;
use crate::support::fake_server::{responding, send, server};

const FRAMINGS: [&str; 3] = ["raw", "len32", "line"];
const THREE: [&str; 4] = ["-c", "3", "-n", "5"];
/// For replies that never arrive.
const SHORT: [&str; 2] = ["--timeout", "300ms"];

/// Reads to the end.
fn drain(stream: &mut TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(1..) = stream.read(&mut buffer) {}
}

#[test]
fn a_discard_server_times_out() {
    let discard = responding(|_, _| {});
    for flags in [&[][..], &["--rate", "1k"], &["--reconnect-every", "2"], &["--pipeline", "9"]] {
        let report = run_json(discard, &[&THREE, &SHORT[..], flags].concat());
        report.assert_complaints(&[("no reply in time", 3)]);
        assert_eq!((report.number("errors"), report.number("messages")), (3, 0));
    }
}

#[test]
fn an_endless_sender_is_a_mismatch() {
    let chargen = server(|_, mut stream| {
        let line: Vec<u8> = (b' '..b'j').chain(*b"\r\n").collect();
        stream.set_write_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        while std::io::Write::write_all(&mut stream, &line).is_ok() {}
    });
    for framing in FRAMINGS {
        let report = run_json(chargen, &[&THREE[..], &["--framing", framing]].concat());
        let (mismatches, errors) = (report.number("mismatches"), report.number("errors"));
        assert_eq!((report.code, mismatches, errors), (1, 3, 0), "{report:?}");
        // It begins with what the server sent.
        let expected = ["bytes after the last reply, of 0: 20212223", ": 20212223", "got 20212223"];
        assert!(
            expected.iter().any(|expected| report.stderr.contains(expected)),
            "{}",
            report.stderr
        );
    }
}

#[test]
fn an_http_reply_is_quoted() {
    let http = responding(|stream, _| {
        send(stream, b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        let _ = stream.shutdown(std::net::Shutdown::Both);
    });
    // Its first line is longer than the message.
    let too_long = "reply 0 is longer than it should be: 485454502f312e312034303020426164";
    let expected = [", got 485454502f312e312034303020426164", too_long, too_long];
    for (framing, expected) in FRAMINGS.iter().zip(expected) {
        let report = run_json(http, &[&THREE[..], &["--framing", framing]].concat());
        let (mismatches, errors) = (report.number("mismatches"), report.number("errors"));
        assert_eq!((report.code, mismatches, errors), (1, 3, 0), "{report:?}");
        assert!(report.stderr.contains(expected), "{expected}: {}", report.stderr);
    }
}

#[test]
fn a_banner_is_quoted() {
    let banner = server(|_, mut stream| {
        send(&mut stream, b"220 ready\r\n");
        drain(&mut stream);
    });
    for framing in FRAMINGS {
        // It may arrive before the first message or after it.
        let report = run_json(banner, &[&THREE[..], &SHORT, &["--framing", framing]].concat());
        let (mismatches, errors) = (report.number("mismatches"), report.number("errors"));
        assert_eq!((report.code, mismatches + errors), (1, 3), "{report:?}");
        let is_known = |(text, _): &(String, u64)| {
            let expected = ["323230207265616479", "no reply in time", "has 10 bytes instead of 24"];
            expected.iter().any(|expected| text.contains(expected))
        };
        assert!(report.complaints().iter().all(is_known), "{report:?}");
    }
}

/// Bytes sent as urgent are bytes of the stream, and verified like all others.
#[test]
fn replies_sent_as_urgent_are_replies() {
    let urgent = responding(|stream, bytes| {
        for byte in bytes {
            let _ = SockRef::from(&*stream).send_out_of_band(&[byte]);
        }
    });
    for framing in FRAMINGS {
        let report = run_json(urgent, &[&THREE[..], &["--framing", framing]].concat());
        assert_eq!((report.code, report.number("messages")), (0, 15), "{report:?}");
    }
}

#[test]
fn a_byte_sent_as_urgent_that_is_too_many_is_a_mismatch() {
    let surplus = responding(|stream, bytes| {
        send(stream, &bytes);
        let _ = SockRef::from(&*stream).send_out_of_band(b"!");
    });
    for framing in FRAMINGS {
        let report = run_json(surplus, &[&THREE[..], &["--framing", framing]].concat());
        let (mismatches, errors) = (report.number("mismatches"), report.number("errors"));
        assert_eq!((report.code, mismatches, errors), (1, 3, 0), "{report:?}");
    }
}

#[test]
fn a_server_that_closes_at_once_is_an_error_on_each_connection() {
    let closing = server(|_, stream| drop(stream));
    for flags in [&[][..], &["--rate", "1k"], &["--reconnect-every", "2"], &["--hold", "1s"]] {
        let report = run_json(closing, &[&THREE[..], flags].concat());
        assert_eq!((report.code, report.number("errors")), (1, 3), "{report:?}");
        assert_eq!((report.number("mismatches"), report.number("messages")), (0, 0), "{report:?}");
        let is_known = |(text, _): &(String, u64)| {
            let expected = ["the server closed a connection", "the connection broke: "];
            expected.iter().any(|expected| text.starts_with(expected))
        };
        assert!(report.complaints().iter().all(is_known), "{report:?}");
    }
}
