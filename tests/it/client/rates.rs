//! An open loop sends at its rate, and a long run does not grow.

use std::thread;
use std::time::Duration;

use crate::support::client::{ClientProcess, client, run, run_json};
use crate::support::fake_server::{Wire, answering, echo, server};
use crate::support::running::{Running, config};
use crate::support::unused_address;
use reactor_server::Framing;
use rustix::process::Signal;

#[test]
fn the_rate_decides_the_number_of_messages() {
    let server = Running::echo(config(Framing::Raw));
    thread::scope(|scope| {
        for more in [
            &["-c", "1"][..],
            &["-c", "7"],
            &["-c", "7", "--threads", "3"],
            &["-c", "7", "--warmup", "500ms"],
            &["-c", "7", "--reconnect-every", "50"],
        ] {
            // However slow the machine is, there is room for messages while replies are under way.
            let flags = [&["--rate", "2k", "-d", "2s", "--pipeline", "64"], more].concat();
            let address = server.address;
            scope.spawn(move || {
                let report = run_json(address, &flags);
                // Only those that have no room when time is up may be missing.
                let (messages, unsent) = (report.number("messages"), report.number("unsent"));
                assert_eq!((report.code, messages + unsent), (0, 4000), "{more:?}: {report:?}");
                // A pause of a second at the end costs half of them.
                assert!(unsent < 3000, "{more:?}: {report:?}");
                assert_eq!(report.number("bytes_sent"), 24 * messages, "{more:?}");
                assert_eq!(report.number("bytes_received"), 24 * messages, "{more:?}");
            });
        }
    });
}

/// The time of a few messages is that of their schedule, and not only that of their replies.
#[test]
fn a_few_messages_have_the_rate_of_their_schedule() {
    let server = Running::echo(config(Framing::Raw));
    for (flags, messages, seconds) in [
        (&["-c", "1", "--rate", "1", "-d", "500ms"][..], 1, 0.5),
        (&["-c", "1", "--rate", "2", "-n", "1"], 1, 0.5),
        (&["-c", "3", "--rate", "10", "-n", "1", "--threads", "2"], 3, 0.3),
        (&["-c", "2", "--rate", "20", "-d", "200ms", "--warmup", "100ms"], 4, 0.2),
        (&["-c", "1", "--rate", "10", "-n", "1", "--hold", "10ms"], 2, 0.1),
    ] {
        // However late the client is, it has room to send each message.
        let report = run_json(server.address, &[flags, &["--pipeline", "8"]].concat());
        assert_eq!((report.code, report.number("messages")), (0, messages), "{report:?}");
        let took = report.json["seconds"].as_f64().expect("a number");
        // A loaded machine may take longer, and nothing may be shorter.
        assert!((seconds - 1e-6..seconds + 5.0).contains(&took), "{flags:?}: {took}");
        let began = report.json["ended"].as_f64().expect("a number") - took;
        let start = report.json["timeline"]["began"].as_f64().expect("a number");
        assert!((start..start + 5.0).contains(&began), "{flags:?}: {began} of {start}");
    }
}

/// At a millisecond for each message, one after the other, at most 1000 of 5000 are sent.
#[test]
fn unsent_messages_are_counted_and_reported() {
    let server = || {
        answering(Wire::Raw(24), |_, message| {
            thread::sleep(Duration::from_millis(1));
            message
        })
    };
    let flags = ["-c", "1", "--rate", "5k", "-d", "1s"];
    let report = run_json(server(), &flags);
    let (messages, unsent) = (report.number("messages"), report.number("unsent"));
    assert_eq!((report.code, messages + unsent), (0, 5000), "{report:?}");
    assert!((1..=1001).contains(&messages), "{messages}");
    // The last of them were sent nearly a second late.
    assert!(report.millis("latency_us", "max") > 500.0, "{report:?}");
    assert!(report.millis("latency_raw_us", "p50") < report.millis("latency_us", "p50") / 5.0);
    let text = String::from_utf8(run(server(), &flags).stdout).expect("a text");
    assert!(text.contains("of the messages that were due were not sent in time"), "{text}");
    assert!(text.contains(" not sent in time"), "{text}");
}

#[test]
fn what_is_due_after_all_connections_have_failed_is_unsent() {
    // It closes each connection during the warm-up.
    let closing = server(|_, stream| drop(echo(stream, 3)));
    for (address, flags, due, seconds) in [
        (unused_address(), &["-d", "300ms"][..], 300, 0.3),
        (unused_address(), &["-d", "300ms", "--warmup", "200ms"], 300, 0.3),
        (unused_address(), &["-d", "300ms", "--warmup", "1ms", "--threads", "3"], 300, 0.3),
        (unused_address(), &["-d", "300ms", "-n", "9", "--warmup", "1ms"], 45, 0.0),
        (unused_address(), &["-n", "4", "--threads", "2"], 20, 0.0),
        (closing, &["-d", "300ms", "--warmup", "2s"], 300, 0.3),
        (closing, &["-d", "300ms", "--warmup", "2s", "--threads", "2"], 300, 0.3),
    ] {
        let report = run_json(address, &[&["-c", "5", "--rate", "1k"], flags].concat());
        let counts = ["errors", "messages", "unsent"].map(|key| report.number(key));
        assert_eq!((report.code, counts), (1, [5, 0, due]), "{flags:?}: {report:?}");
        assert_eq!(report.json["seconds"], seconds, "{flags:?}: {report:?}");
    }
    // Without a rate nothing is due, and the time is the duration all the same.
    let flags = ["-c", "5", "-d", "300ms", "--warmup", "1ms"];
    let report = run_json(unused_address(), &flags);
    assert_eq!((report.number("unsent"), &report.json["seconds"]), (0, &0.3.into()), "{report:?}");
}

#[test]
fn memory_does_not_grow_with_the_number_of_messages() {
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-c", "20", "-d", "1h", "--pipeline", "8", "--json"];
    let process = ClientProcess::start(client(server.address, &flags));
    let resident_after = |messages| {
        server.wait_until("messages", |stats| stats.sum(|it| &it.messages) > messages);
        1024 * process.status().vmrss.expect("a size")
    };
    let (early, late) = (resident_after(20_000), resident_after(200_000));
    eprintln!("resident after 20,000 messages: {early}, after 200,000: {late}");
    assert!(late < early + (1 << 20), "{early} to {late}");
    process.signal(Signal::INT);
    assert_eq!(process.report().code, 130);
}
