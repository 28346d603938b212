//! An open loop sends at its rate, and a long run does not grow.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::{ClientProcess, client, run, run_json};
use crate::support::fake_server::{Wire, answering};
use crate::support::running::{Running, config};
use reactor_server::Framing;

#[test]
fn the_rate_decides_the_number_of_messages() {
    let server = Running::echo(config(Framing::Raw));
    thread::scope(|scope| {
        for more in [
            &["-c", "1"][..],
            &["-c", "7"],
            &["-c", "7", "--threads", "3"],
            &["-c", "7", "--warmup", "500ms"],
            &["-c", "7", "--reconnect-every", "50", "--pipeline", "8"],
        ] {
            let flags = [&["--rate", "2k", "-d", "2s"], more].concat();
            let address = server.address;
            scope.spawn(move || {
                let report = run_json(address, &flags);
                // Messages without a reply when time is up are all that may be missing.
                let (messages, unsent) = (report.number("messages"), report.number("unsent"));
                assert_eq!((report.code, messages + unsent), (0, 4000), "{more:?}: {report:?}");
                assert!(unsent < 1000, "{more:?}: {report:?}");
                assert_eq!(report.number("bytes_sent"), 24 * messages, "{more:?}");
                assert_eq!(report.number("bytes_received"), 24 * messages, "{more:?}");
            });
        }
    });
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

/// Bytes of memory that a process has resident.
fn resident(process: &ClientProcess) -> u64 {
    1024 * process.status().vmrss.expect("a size")
}

#[test]
fn memory_does_not_grow_with_the_number_of_messages() {
    let server = Running::echo(config(Framing::Raw));
    let received = || server.handle.stats().sum(|reactor| &reactor.received);
    let process = ClientProcess::start(client(
        server.address,
        &["-c", "20", "-d", "6s", "--pipeline", "8", "--json"],
    ));
    server.wait_until("messages arrive", |_| received() > 0);
    let began = Instant::now();
    thread::sleep(Duration::from_secs(1));
    let (early, then) = (resident(&process), received());
    thread::sleep(Duration::from_secs(5).saturating_sub(began.elapsed()));
    let (late, now) = (resident(&process), received());
    eprintln!("resident after {then} bytes: {early}, after {now}: {late}");
    assert!(now > 2 * then, "it stopped sending: {then}, {now}");
    assert!(late < early + (1 << 20), "{early} to {late}");
    assert_eq!(process.report().code, 0);
}
