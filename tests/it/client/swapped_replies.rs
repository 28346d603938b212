//! Whole replies in the wrong place are noticed.

use std::sync::{Arc, Barrier, Mutex};

use crate::support::client::{JsonReport, run_json};
use crate::support::fake_server::{Place, Wire, answering};
use crate::support::wrong_reply::{Case, MESSAGES, SEEDS};

type Answer = Box<dyn Fn(Place, Vec<u8>) -> Vec<u8> + Send + Sync>;
type Held = Arc<Mutex<Vec<Vec<u8>>>>;

/// Sends reply `number` of every connection only after the one that follows it, and
/// keeps both.
fn swapping(number: usize) -> (Answer, Held) {
    let held = Held::default();
    let kept = Arc::clone(&held);
    let mine = Mutex::new(std::collections::HashMap::new());
    let answer = move |place: Place, message: Vec<u8>| {
        if place.number == number {
            kept.lock().expect("no panic").push(message.clone());
            mine.lock().expect("no panic").insert(place.connection, message);
            return Vec::new();
        }
        let first = mine.lock().expect("no panic").remove(&place.connection);
        match first {
            Some(first) => {
                kept.lock().expect("no panic").push(message.clone());
                [message, first].concat()
            }
            None => message,
        }
    };
    (Box::new(answer), held)
}

#[test]
fn two_replies_in_the_wrong_order_are_reported_at_the_first() {
    for seed in 0..SEEDS {
        let mut case = Case::new(seed, &["raw", "len32", "line"], &[16, 24, 1000]);
        // The second must be under way while the first is held.
        (case.depth, case.index) = (4, case.index.min(MESSAGES - 2));
        case.flags.retain(|&flag| flag != "--reconnect-every" && flag != "3");
        let (answer, held) = swapping(case.index);
        let report = case.run(answer, &[]);
        let held = held.lock().expect("no panic");
        report.assert_complaints(&[(&case.difference(case.index, &held[0], &held[1]), 1)]);
        assert_eq!((report.number("mismatches"), report.number("errors")), (1, 0));
        assert_eq!(report.number("messages"), case.index as u64);
    }
}

/// Two connections get each other's reply, once.
fn crossed(case: &Case, number: usize) -> JsonReport {
    let (meeting, replies) = (Barrier::new(2), Mutex::new([const { Vec::new() }; 2]));
    let answer = move |place: Place, message: Vec<u8>| {
        if place.number != number || place.connection > 1 {
            return message;
        }
        replies.lock().expect("no panic")[place.connection] = message;
        meeting.wait();
        std::mem::take(&mut replies.lock().expect("no panic")[1 - place.connection])
    };
    case.run(answer, &[])
}

#[test]
fn replies_of_another_connection_are_mismatches_on_both() {
    for seed in 0..SEEDS {
        let mut case = Case::new(seed, &["raw", "len32", "line"], &[16, 24, 1000]);
        // With reconnecting, the two that meet are the first two.
        (case.connections, case.index) = (2, case.index % 3);
        let report = crossed(&case, case.index);
        assert_eq!((report.code, report.number("mismatches")), (1, 2), "{seed}: {report:?}");
        assert_eq!(report.number("errors"), 0, "{seed}");
        let is_named = |(text, _): &(String, u64)| {
            text.contains(&format!("reply {} differs at byte ", case.index))
        };
        assert!(report.complaints().iter().all(is_named), "{report:?}");
    }
}

/// Below 16 bytes there is no room for numbers, and what differs is the place where the
/// noise is cut out: one of 4096, so that two messages are alike once in 4096 times.
/// That two of 30 swaps are missed is a matter of one run in 30,000; three, of millions.
#[test]
fn one_in_4096_swapped_replies_of_8_bytes_is_missed() {
    let (answer, held) = swapping(7);
    let flags = ["-c", "30", "-n", "40", "-s", "8", "--pipeline", "16"];
    let report = run_json(answering(Wire::Raw(8), answer), &flags);
    let held = held.lock().expect("no panic");
    let alike = held.chunks(2).filter(|pair| pair[0] == pair[1]).count() as u64;
    eprintln!("swaps at 8 bytes: {} of 30 caught", report.number("mismatches"));
    assert!(alike <= 2 && report.number("errors") == 0, "{alike}: {report:?}");
    assert!(report.number("mismatches") >= 28, "{report:?}");
}
