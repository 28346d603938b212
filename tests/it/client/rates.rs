//! An open loop sends what it says it sends, and a long run stays as small as it began.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::{Process, client, run, told};
use crate::support::fake_server::{Wire, answering};
use crate::support::{Running, config};
use reactor_server::Framing;

#[test]
fn as_many_messages_are_sent_as_the_rate_says() {
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
                let told = told(address, &flags);
                // What waits for a reply when time is up is all that may be missing.
                let (messages, unsent) = (told.number("messages"), told.number("unsent"));
                assert_eq!((told.code, messages + unsent), (0, 4000), "{more:?}: {told:?}");
                assert!(unsent < 1000, "{more:?}: {told:?}");
                assert_eq!(told.number("bytes_sent"), 24 * messages, "{more:?}");
                assert_eq!(told.number("bytes_received"), 24 * messages, "{more:?}");
            });
        }
    });
}

/// At a millisecond for each message, one after the other, 1000 of 5000 at most.
#[test]
fn what_could_not_be_sent_is_counted_and_noted() {
    let server = || {
        answering(Wire::Raw(24), |_, message| {
            thread::sleep(Duration::from_millis(1));
            message
        })
    };
    let flags = ["-c", "1", "--rate", "5k", "-d", "1s"];
    let told = told(server(), &flags);
    let (messages, unsent) = (told.number("messages"), told.number("unsent"));
    assert_eq!((told.code, messages + unsent), (0, 5000), "{told:?}");
    assert!((1..=1001).contains(&messages), "{messages}");
    // The last of them were sent nearly a second late.
    assert!(told.millis("latency_us", "max") > 500.0, "{told:?}");
    assert!(told.millis("latency_raw_us", "p50") < told.millis("latency_us", "p50") / 5.0);
    let text = String::from_utf8(run(server(), &flags).stdout).expect("a text");
    assert!(text.contains("of the messages that were due were not sent in time"), "{text}");
    assert!(text.contains(" not sent in time"), "{text}");
}

/// Bytes of memory that a process has resident.
fn resident(process: &Process) -> u64 {
    let path = format!("/proc/{}/status", process.id());
    let status = fs::read_to_string(path).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    1024 * line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
}

#[test]
fn its_memory_does_not_grow_with_the_messages() {
    let server = Running::echo(config(Framing::Raw));
    let received = || server.handle.stats().sum(|reactor| &reactor.received);
    let process = Process::start(client(
        server.address,
        &["-c", "20", "-d", "6s", "--pipeline", "8", "--json"],
    ));
    server.wait_until("it talks", |_| received() > 0);
    let began = Instant::now();
    thread::sleep(Duration::from_secs(1));
    let (early, then) = (resident(&process), received());
    thread::sleep(Duration::from_secs(5).saturating_sub(began.elapsed()));
    let (late, now) = (resident(&process), received());
    eprintln!("resident after {then} bytes: {early}, after {now}: {late}");
    assert!(now > 2 * then, "it did not talk on: {then}, {now}");
    assert!(late < early + (1 << 20), "{early} to {late}");
    assert_eq!(process.told().code, 0);
}
