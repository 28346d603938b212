//! Servers that do not echo: the client says so, and ends.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use crate::support::client::run_json;
use crate::support::fake_server::{liar, send, server};

const FRAMINGS: [&str; 3] = ["raw", "len32", "line"];
const THREE: [&str; 6] = ["-c", "3", "-n", "5", "--timeout", "300ms"];

/// Reads until the peer has had enough.
fn drain(stream: &mut TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(1..) = stream.read(&mut buffer) {}
}

#[test]
fn a_discard_server_times_out() {
    let discard = liar(|_, _| {});
    for flags in [&[][..], &["--rate", "1k"], &["--reconnect-every", "2"], &["--pipeline", "9"]] {
        let report = run_json(discard, &[&THREE, flags].concat());
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
        // It begins with what the server says.
        let says = ["bytes after the last reply, of 0: 20212223", ": 20212223", "got 20212223"];
        assert!(says.iter().any(|says| report.stderr.contains(says)), "{}", report.stderr);
    }
}

#[test]
fn an_http_reply_is_quoted() {
    let http = liar(|stream, _| {
        send(stream, b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        let _ = stream.shutdown(std::net::Shutdown::Both);
    });
    // Its first line is longer than the message was.
    let too_long = "reply 0 is longer than it should be: 485454502f312e312034303020426164";
    let says = [", got 485454502f312e312034303020426164", too_long, too_long];
    for (framing, says) in FRAMINGS.iter().zip(says) {
        let report = run_json(http, &[&THREE[..], &["--framing", framing]].concat());
        let (mismatches, errors) = (report.number("mismatches"), report.number("errors"));
        assert_eq!((report.code, mismatches, errors), (1, 3, 0), "{report:?}");
        assert!(report.stderr.contains(says), "{says}: {}", report.stderr);
    }
}

#[test]
fn a_banner_is_quoted() {
    let banner = server(|_, mut stream| {
        send(&mut stream, b"220 ready\r\n");
        drain(&mut stream);
    });
    for framing in FRAMINGS {
        // It may come before the first message or after it.
        let report = run_json(banner, &[&THREE[..], &["--framing", framing]].concat());
        let (mismatches, errors) = (report.number("mismatches"), report.number("errors"));
        assert_eq!((report.code, mismatches + errors), (1, 3), "{report:?}");
        let is_known = |(text, _): &(String, u64)| {
            let says = ["323230207265616479", "no reply in time", "has 10 bytes instead of 24"];
            says.iter().any(|says| text.contains(says))
        };
        assert!(report.complaints().iter().all(is_known), "{report:?}");
    }
}

#[test]
fn a_server_that_closes_at_once_is_an_error_on_each_connection() {
    let closing = server(|_, stream| drop(stream));
    for flags in [&[][..], &["--rate", "1k"], &["--reconnect-every", "2"], &["--hold", "1s"]] {
        let report = run_json(closing, &[&THREE, flags].concat());
        assert_eq!((report.code, report.number("errors")), (1, 3), "{report:?}");
        assert_eq!((report.number("mismatches"), report.number("messages")), (0, 0), "{report:?}");
        let is_known = |(text, _): &(String, u64)| {
            let says = ["the server closed a connection", "the connection broke: "];
            says.iter().any(|says| text.starts_with(says))
        };
        assert!(report.complaints().iter().all(is_known), "{report:?}");
    }
}
