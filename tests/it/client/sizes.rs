//! Messages of many sizes are verified as those of one size are.

use std::io::{Read, Write};
use std::sync::Mutex;

use reactor_server::Framing;
use serde_json::json;

use crate::support::client::{report, run, run_json, stderr, written};
use crate::support::fake_server::{Wire, answering, server};
use crate::support::running::{Running, config};

const FRAMINGS: [(Wire, fn() -> Framing); 3] = [
    (Wire::Raw(0), || Framing::Raw),
    (Wire::Len32, || Framing::Len32),
    (Wire::Line, Framing::line),
];

#[test]
fn every_message_of_every_size_is_verified() {
    for (wire, framing) in FRAMINGS {
        let server = Running::echo(config(framing()));
        for more in [
            &[][..],
            &["--pipeline", "16", "--threads", "3"],
            &["--reconnect-every", "7"],
            &["--rate", "20k", "--pipeline", "4"],
            &["--verify", "length"],
        ] {
            let flags = ["-c", "4", "-n", "250", "-s", "1..2k", "--framing", wire.name()];
            let report = run_json(server.address, &[&flags[..], more].concat());
            assert_eq!((report.code, report.number("messages")), (0, 1000), "{more:?}");
            assert_eq!(report.json["plan"]["size"], "1..2048");
            // Half of 2 KiB each, give or take four standard deviations.
            let bytes = report.number("bytes_sent");
            assert!((950_000..1_110_000).contains(&bytes), "{more:?}: {bytes}");
            assert_eq!(report.number("bytes_received"), bytes, "{more:?}");
        }
    }
}

#[test]
fn sizes_are_the_same_in_every_run_and_all_occur() {
    let sizes = || {
        let seen = std::sync::Arc::new(Mutex::new(Vec::new()));
        let notes = std::sync::Arc::clone(&seen);
        let address = answering(Wire::Line, move |_, message| {
            notes.lock().expect("no panic").push(message.len() - 1);
            message
        });
        let flags = ["-c", "1", "-n", "300", "-s", "14..18", "--framing", "line"];
        assert_eq!(run_json(address, &flags).code, 0);
        std::mem::take(&mut *seen.lock().expect("no panic"))
    };
    let first = sizes();
    assert_eq!(first, sizes());
    for size in 14..=18 {
        let times = first.iter().filter(|&&it| it == size).count();
        assert!((30..90).contains(&times), "{times} x {size}");
    }
}

/// One bit of the stream is wrong, at an offset that no size is a divisor of.
#[test]
fn a_changed_byte_is_found_in_its_reply() {
    for (wire, at) in [(Wire::Raw(0), 30_011), (Wire::Line, 30_011), (Wire::Len32, 30_011)] {
        let address = server(move |_, mut stream| {
            let (mut buffer, mut offset) = ([0; 4096], 0);
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                if (offset..offset + count).contains(&at) {
                    buffer[at - offset] ^= 1;
                }
                offset += count;
                let _ = stream.write_all(&buffer[..count]);
            }
        });
        let flags = ["-c", "1", "-n", "500", "-s", "100..300", "--framing", wire.name()];
        let report = run_json(address, &flags);
        assert_eq!((report.code, report.number("mismatches")), (1, 1), "{report:?}");
        let messages = report.number("messages");
        assert!((100..300).contains(&messages), "{messages}");
        let (what, times) = &report.complaints()[0];
        let begin = format!("wrong bytes: reply {messages} differs at byte ");
        assert!(what.starts_with(&begin) && *times == 1, "{what}");
    }
}

#[test]
fn a_reply_of_another_size_of_the_range_is_a_mismatch() {
    let short = answering(Wire::Line, |place, message| match place.index {
        7 => message[1..].to_vec(),
        _ => message,
    });
    let flags = ["-c", "1", "-n", "20", "-s", "20..40", "--framing", "line"];
    let report = run_json(short, &flags);
    assert_eq!((report.code, report.number("mismatches")), (1, 1), "{report:?}");
    let (what, _) = &report.complaints()[0];
    assert!(
        what.starts_with("wrong bytes: reply 7 has ") && what.contains(" instead of "),
        "{what}"
    );
}

#[test]
fn the_bytes_of_the_warmup_do_not_count() {
    let server = Running::echo(config(Framing::Raw));
    for more in [&[][..], &["--pipeline", "8"], &["--reconnect-every", "3"]] {
        let flags = ["-c", "2", "-n", "50", "-s", "1..100", "--warmup", "100ms"];
        let report = run_json(server.address, &[&flags[..], more].concat());
        assert_eq!((report.code, report.number("messages")), (0, 100), "{report:?}");
        let bytes = report.number("bytes_sent");
        assert!((3_700..6_300).contains(&bytes), "{bytes}");
        assert_eq!(report.number("bytes_received"), bytes);
    }
}

#[test]
fn results_of_other_sizes_are_not_merged() {
    let server = Running::echo(config(Framing::Raw));
    let results = |size| run_json(server.address, &["-c", "1", "-n", "1", "-s", size]).json;
    let files = [
        written("sizes-one.json", &results("24..24")),
        written("sizes-range.json", &results("24..25")),
    ];
    let refused = report(&files, &[]);
    assert_eq!(refused.status.code(), Some(1));
    let why = "they ran different plans: size is 24 in one and \"24..25\" in the other";
    assert!(stderr(&refused).contains(why), "{refused:?}");
    let text = run(server.address, &["-c", "1", "-n", "1", "-s", "24..25"]).stdout;
    assert!(String::from_utf8_lossy(&text).contains(", raw, 24..25 B, "), "{text:?}");
    assert_eq!(results("24")["plan"]["size"], json!(24));
}
