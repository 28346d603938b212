//! One wrong reply is noticed, wherever it is.
//!
//! Every test has 20 runs with seeds of their own, which choose the framing, the
//! size, the depth, the loop and the place of the wrong reply.

use std::sync::Mutex;
use std::thread;

use crate::support::client::{JsonReport, run_json};
use crate::support::fake_server::{Place, Random, Wire, responding, send};
use crate::support::wrong_reply::{Case, Change, SEEDS, hex};

const ALL: [&str; 3] = ["raw", "len32", "line"];

/// For replies that never arrive. A server that is late by less is not taken for one that is silent.
const TIMEOUT: [&str; 2] = ["--timeout", "2s"];

/// The runs wait for the timeout together.
fn for_each_seed_at_once(test: impl Fn(u64) + Sync) {
    thread::scope(|scope| {
        for seed in 0..SEEDS {
            let test = &test;
            scope.spawn(move || test(seed));
        }
    });
}

/// Some byte of the message, framing left out.
fn some_byte(random: &mut Random, wire: Wire, message: &[u8]) -> usize {
    let tail = usize::from(wire == Wire::Line);
    wire.head() + random.below(message.len() - wire.head() - tail)
}

fn flip_a_bit(random: &mut Random, wire: Wire, mut message: Vec<u8>) -> Vec<u8> {
    let at = some_byte(random, wire, &message);
    message[at] ^= 1 << random.below(8);
    // A line that ends early is tested elsewhere.
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

/// A frame of its announced length, which is not the right one.
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
        for (change, sizes) in [
            (flip_a_bit as Change, &[1, 8, 15, 16, 24, 1000, 20_000][..]),
            (swap_two_bytes, &[8, 15, 16, 24, 1000]),
        ] {
            let mut case = Case::new(seed, &ALL, sizes);
            let (report, right, wrong) = case.run_with(change, &[]);
            assert_eq!(report.number("messages"), case.index as u64, "{seed}");
            report.assert_complaints(&[(&case.difference(case.index, &right, &wrong), 1)]);
            assert_eq!((report.number("mismatches"), report.number("errors")), (1, 0), "{seed}");
        }
    }
}

/// With nothing under way behind it, a reply that lacks a byte never becomes whole. Whatever
/// does follow it is wrong.
#[test]
fn a_lost_byte_is_a_mismatch_or_a_missing_reply() {
    for_each_seed_at_once(|seed| {
        let mut case = Case::new(seed, &ALL, &[8, 15, 16, 24, 1000]);
        let (report, ..) = case.run_with(drop_a_byte, &TIMEOUT);
        let (mismatches, errors) = (report.number("mismatches"), report.number("errors"));
        assert_eq!((report.code, mismatches + errors), (1, 1), "{seed}: {report:?}");
        let is_short = report.stderr.contains("1 x no reply in time");
        assert_eq!(errors == 1, is_short, "{seed}: {report:?}");
        if case.wire != Wire::Line && case.depth == 1 {
            assert_eq!(errors, 1, "{seed}: {report:?}");
        }
    });
}

#[test]
fn a_line_without_its_end_is_a_mismatch_or_a_missing_reply() {
    for_each_seed_at_once(|seed| {
        let mut case = Case::new(seed, &["line"], &[1, 8, 24]);
        let (report, ..) = case.run_with(drop_the_end, &TIMEOUT);
        assert_eq!(report.code, 1, "{seed}");
        assert_eq!(report.number("mismatches") + report.number("errors"), 1, "{seed}: {report:?}");
        assert_eq!(report.number("messages"), case.index as u64, "{seed}");
    });
}

/// Also with the shortest messages, where the replies together are too long.
#[test]
fn duplicated_and_unsolicited_bytes_are_mismatches() {
    let twice: Change = |_, _, message| message.repeat(2);
    let unsolicited: Change = |random, _, mut message| {
        message.push(random.below(256) as u8);
        message
    };
    for seed in 0..SEEDS {
        for change in [repeat_a_byte as Change, twice, unsolicited] {
            let mut case = Case::new(seed, &ALL, &[1, 8, 15, 16, 24, 1000]);
            let (report, right, wrong) = case.run_with(change, &[]);
            assert_eq!((report.code, report.number("mismatches")), (1, 1), "{seed}: {report:?}");
            assert_eq!(report.number("errors"), 0, "{seed}");
            if report.stderr.contains("after the last reply") && wrong.starts_with(&right) {
                let surplus = hex(&wrong[right.len()..][..16.min(wrong.len() - right.len())]);
                assert!(report.stderr.contains(&surplus), "{surplus}: {}", report.stderr);
            }
        }
    }
}

#[test]
fn a_frame_of_the_wrong_length_is_a_mismatch() {
    for seed in 0..SEEDS {
        let mut case = Case::new(seed, &["len32"], &[8, 15, 16, 24, 1000]);
        let (report, right, wrong) = case.run_with(another_length, &[]);
        let (index, is, should) = (case.index, wrong.len() - 4, right.len() - 4);
        let what = if is < should {
            format!("wrong bytes: reply {index} has {is} bytes instead of {should}")
        } else {
            let begin = hex(&wrong[..16.min(wrong.len())]);
            format!("wrong bytes: reply {index} is longer than it should be: {begin}")
        };
        report.assert_complaints(&[(&what, 1)]);
        assert_eq!((report.number("mismatches"), report.number("messages")), (1, index as u64));
    }
}

#[test]
fn a_wrong_prefix_is_a_mismatch() {
    let change: Change = |random, wire, mut message| {
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
            let is_wrong = place.index == index;
            if is_wrong {
                change(&mut random.lock().expect("no panic"), wire, message)
            } else {
                message
            }
        };
        let report = case.run(answer, &["--reply-prefix", "reply:"]);
        assert_eq!((report.code, report.number("mismatches")), (1, 1), "{seed}: {report:?}");
        assert_eq!(report.number("messages"), case.index as u64);
    }
}

#[test]
fn a_lost_reply_and_a_lost_connection_are_errors() {
    let flags = ["-c", "1", "-n", "5"];
    let short = [&flags[..], &["--timeout", "200ms"]].concat();
    let JsonReport { code, json: silent, .. } = run_json(responding(|_, _| {}), &short);
    assert_eq!((code, &silent["errors"]), (1, &1.into()));
    assert_eq!(silent["complaints"]["no reply in time"], 1);
    let gone = responding(|stream, _| drop(stream.shutdown(std::net::Shutdown::Both)));
    let JsonReport { code, json: gone, .. } = run_json(gone, &flags);
    assert_eq!((code, &gone["errors"]), (1, &1.into()));
    assert_eq!(gone["complaints"]["the server closed a connection that had 1 unanswered"], 1);
    let JsonReport { code, json: late, .. } = run_json(
        responding(|stream, bytes| {
            send(stream, &bytes);
            send(stream, b"!");
        }),
        &["-c", "1", "-n", "1"],
    );
    assert_eq!((code, &late["mismatches"]), (1, &1.into()));
}
