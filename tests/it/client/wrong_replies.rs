//! A server that tells one lie is caught, wherever it tells it.
//!
//! Every test has 20 runs with seeds of their own, which choose the framing, the
//! size, the depth, the loop and the place of the lie.

use std::sync::Mutex;

use crate::support::client::{JsonReport, run_json};
use crate::support::fake_server::{Place, Random, Wire, liar, send};
use crate::support::wrong_reply::{Case, Lie, SEEDS, hex};

const ALL: [&str; 3] = ["raw", "len32", "line"];

/// Some byte of the message, framing left out.
fn some_byte(random: &mut Random, wire: Wire, message: &[u8]) -> usize {
    let tail = usize::from(wire == Wire::Line);
    wire.head() + random.below(message.len() - wire.head() - tail)
}

fn flip_a_bit(random: &mut Random, wire: Wire, mut message: Vec<u8>) -> Vec<u8> {
    let at = some_byte(random, wire, &message);
    message[at] ^= 1 << random.below(8);
    // A line that ends early is another lie.
    if message[at] == b'\n' {
        message[at] = b'!';
    }
    message
}

fn swap_two_bytes(random: &mut Random, wire: Wire, mut message: Vec<u8>) -> Vec<u8> {
    let (mut one, mut other) = (0, 0);
    while message[one] == message[other] {
        one = some_byte(random, wire, &message);
        other = some_byte(random, wire, &message);
    }
    message.swap(one, other);
    message
}

fn drop_a_byte(random: &mut Random, wire: Wire, mut message: Vec<u8>) -> Vec<u8> {
    message.remove(some_byte(random, wire, &message));
    message
}

fn repeat_a_byte(random: &mut Random, wire: Wire, mut message: Vec<u8>) -> Vec<u8> {
    let at = some_byte(random, wire, &message);
    message.insert(at, message[at]);
    message
}

fn drop_the_end(_: &mut Random, _: Wire, mut message: Vec<u8>) -> Vec<u8> {
    message.pop();
    message
}

/// A frame that is as long as it says, which is not as long as it should be.
fn another_length(random: &mut Random, _: Wire, message: Vec<u8>) -> Vec<u8> {
    let (mut body, by) = (message[4..].to_vec(), random.below(8) + 1);
    match random.below(2) {
        0 => body.truncate(body.len() - by),
        _ => body.resize(body.len() + by, b'+'),
    }
    crate::support::streams::frame(&body)
}

#[test]
fn changed_bytes_are_reported_with_their_position() {
    for seed in 0..SEEDS {
        for (lie, sizes) in [
            (flip_a_bit as Lie, &[1, 8, 15, 16, 24, 1000, 20_000][..]),
            (swap_two_bytes, &[8, 15, 16, 24, 1000]),
        ] {
            let mut case = Case::new(seed, &ALL, sizes);
            let (report, truth, lie) = case.run_with(lie, &[]);
            assert_eq!(report.number("messages"), case.index as u64, "{seed}");
            report.assert_complaints(&[(&case.difference(case.index, &truth, &lie), 1)]);
            assert_eq!((report.number("mismatches"), report.number("errors")), (1, 0), "{seed}");
        }
    }
}

/// With nothing under way behind it, a reply that lacks a byte is one that does not
/// come; whatever does come behind it is wrong.
#[test]
fn a_lost_byte_is_a_mismatch_or_a_missing_reply() {
    for seed in 0..SEEDS {
        let mut case = Case::new(seed, &ALL, &[8, 15, 16, 24, 1000]);
        let (report, ..) = case.run_with(drop_a_byte, &["--timeout", "200ms"]);
        let (mismatches, errors) = (report.number("mismatches"), report.number("errors"));
        assert_eq!((report.code, mismatches + errors), (1, 1), "{seed}: {report:?}");
        let is_short = report.stderr.contains("1 x no reply in time");
        assert_eq!(errors == 1, is_short, "{seed}: {report:?}");
        if case.wire != Wire::Line && case.depth == 1 {
            assert_eq!(errors, 1, "{seed}: {report:?}");
        }
    }
}

#[test]
fn a_line_without_its_end_is_a_mismatch_or_a_missing_reply() {
    for seed in 0..SEEDS {
        let mut case = Case::new(seed, &["line"], &[1, 8, 24]);
        let (report, ..) = case.run_with(drop_the_end, &["--timeout", "200ms"]);
        assert_eq!(report.code, 1, "{seed}");
        assert_eq!(report.number("mismatches") + report.number("errors"), 1, "{seed}: {report:?}");
        assert_eq!(report.number("messages"), case.index as u64, "{seed}");
    }
}

/// However short messages are: the replies together are too long.
#[test]
fn duplicated_and_unsolicited_bytes_are_mismatches() {
    let twice: Lie = |_, _, message| message.repeat(2);
    let unasked: Lie = |random, _, mut message| {
        message.push(random.below(256) as u8);
        message
    };
    for seed in 0..SEEDS {
        for lie in [repeat_a_byte as Lie, twice, unasked] {
            let mut case = Case::new(seed, &ALL, &[1, 8, 15, 16, 24, 1000]);
            let (report, truth, lie) = case.run_with(lie, &[]);
            assert_eq!((report.code, report.number("mismatches")), (1, 1), "{seed}: {report:?}");
            assert_eq!(report.number("errors"), 0, "{seed}");
            if report.stderr.contains("after the last reply") && lie.starts_with(&truth) {
                let surplus = hex(&lie[truth.len()..][..16.min(lie.len() - truth.len())]);
                assert!(report.stderr.contains(&surplus), "{surplus}: {}", report.stderr);
            }
        }
    }
}

#[test]
fn a_frame_of_the_wrong_length_is_a_mismatch() {
    for seed in 0..SEEDS {
        let mut case = Case::new(seed, &["len32"], &[8, 15, 16, 24, 1000]);
        let (report, truth, lie) = case.run_with(another_length, &[]);
        let (index, is, should) = (case.index, lie.len() - 4, truth.len() - 4);
        let what = if is < should {
            format!("wrong bytes: reply {index} has {is} bytes instead of {should}")
        } else {
            let begin = hex(&lie[..16.min(lie.len())]);
            format!("wrong bytes: reply {index} is longer than it should be: {begin}")
        };
        report.assert_complaints(&[(&what, 1)]);
        assert_eq!((report.number("mismatches"), report.number("messages")), (1, index as u64));
    }
}

#[test]
fn a_wrong_prefix_is_a_mismatch() {
    let lie: Lie = |random, wire, mut message| {
        message[wire.head() + random.below(6)] ^= 1;
        message
    };
    for seed in 0..SEEDS {
        let case = Case::new(seed, &["len32", "line"], &[8, 24]);
        let (index, wire, random) = (case.index, case.wire, Mutex::new(Random(seed)));
        let answer = move |place: Place, mut message: Vec<u8>| {
            message.splice(wire.head()..wire.head(), *b"reply:");
            if wire == Wire::Len32 {
                message = crate::support::streams::frame(&message[4..]);
            }
            let is_lie = place.index == index;
            if is_lie { lie(&mut random.lock().expect("it"), wire, message) } else { message }
        };
        let report = case.run(answer, &["--reply-prefix", "reply:"]);
        assert_eq!((report.code, report.number("mismatches")), (1, 1), "{seed}: {report:?}");
        assert_eq!(report.number("messages"), case.index as u64);
    }
}

#[test]
fn a_lost_reply_and_a_lost_connection_are_errors() {
    let flags = ["-c", "1", "-n", "5", "--timeout", "200ms"];
    let JsonReport { code, json: silent, .. } = run_json(liar(|_, _| {}), &flags);
    assert_eq!((code, &silent["errors"]), (1, &1.into()));
    assert_eq!(silent["complaints"]["no reply in time"], 1);
    let gone = liar(|stream, _| drop(stream.shutdown(std::net::Shutdown::Both)));
    let JsonReport { code, json: gone, .. } = run_json(gone, &flags);
    assert_eq!((code, &gone["errors"]), (1, &1.into()));
    assert_eq!(gone["complaints"]["the server closed a connection that had 1 unanswered"], 1);
    let JsonReport { code, json: late, .. } = run_json(
        liar(|stream, bytes| {
            send(stream, &bytes);
            send(stream, b"!");
        }),
        &["-c", "1", "-n", "1"],
    );
    assert_eq!((code, &late["mismatches"]), (1, &1.into()));
}
