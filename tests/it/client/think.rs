//! `--think`: connections wait between a reply and the next message.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reactor_server::Framing;
use rustix::process::Signal;

use crate::support::client::{ClientProcess, client, report, run, run_json, stderr, written};
use crate::support::fake_server::{send, server};
use crate::support::running::{Running, config};

/// The times between the replies of a server and the messages that follow them, on one
/// connection after the other.
#[derive(Default)]
struct Gaps {
    replied: Option<Instant>,
    all: Vec<Duration>,
}

/// An echo server that measures them.
fn measuring() -> (SocketAddr, Arc<Mutex<Gaps>>) {
    let gaps = Arc::new(Mutex::new(Gaps::default()));
    let notes = Arc::clone(&gaps);
    let address = server(move |_, mut stream| {
        let mut message = [0; 24];
        while stream.read_exact(&mut message).is_ok() {
            let mut gaps = notes.lock().expect("no panic");
            let gap = gaps.replied.map(|replied| replied.elapsed());
            gaps.all.extend(gap);
            gaps.replied = Some(Instant::now());
            send(&mut stream, &message);
        }
    });
    (address, gaps)
}

fn gaps(flags: &[&str]) -> Vec<Duration> {
    let (address, gaps) = measuring();
    let report = run_json(address, &[&["-c", "1"], flags].concat());
    assert_eq!(report.code, 0, "{report:?}");
    std::mem::take(&mut gaps.lock().expect("no panic").all)
}

const MEAN: Duration = Duration::from_millis(10);

#[test]
fn fixed_times_pass_between_a_reply_and_the_next_message() {
    for more in [&[][..], &["--reconnect-every", "1"], &["--reconnect-every", "4"]] {
        let gaps = gaps(&[&["-n", "20", "--think", "10ms"], more].concat());
        assert_eq!(gaps.len(), 19);
        assert!(gaps.iter().all(|&gap| gap >= MEAN), "{more:?}: {gaps:?}");
        // On a busy machine some are late, and half of them are not.
        let late = gaps.iter().filter(|&&gap| gap > 5 * MEAN).count();
        assert!(late < 10, "{more:?}: {gaps:?}");
    }
}

/// Both halves of the distribution occur: a share of 1/e is beyond the mean.
#[test]
fn exponential_times_have_their_mean() {
    let gaps = gaps(&["-n", "101", "--think", "10ms,exp"]);
    let (short, long) = (MEAN.mul_f64(0.4), MEAN.mul_f64(1.6));
    let count = |is: &dyn Fn(&Duration) -> bool| gaps.iter().filter(|gap| is(gap)).count();
    // Of 100, 33 are expected to be short and 20 to be long.
    assert!(count(&|&gap| gap < short) >= 10, "{gaps:?}");
    assert!(count(&|&gap| gap > long) >= 8, "{gaps:?}");
    let sum: Duration = gaps.iter().sum();
    assert!(sum > 70 * MEAN && sum < 500 * MEAN, "{sum:?}");
}

#[test]
fn think_time_is_in_no_latency() {
    let server = Running::echo(config(Framing::Raw));
    let report = run_json(server.address, &["-c", "1", "-n", "3", "--think", "150ms"]);
    assert!(report.code == 0 && report.millis("latency_us", "p50") < 100.0, "{report:?}");
    assert!(report.json["seconds"].as_f64() >= Some(0.3), "{report:?}");
}

#[test]
fn many_connections_think_on_their_own() {
    let server = Running::echo(config(Framing::Raw));
    for think in ["20ms", "20ms,exp"] {
        let flags = ["-c", "100", "-d", "1s", "--think", think, "--threads", "2"];
        let report = run_json(server.address, &flags);
        let messages = report.number("messages");
        // At most 50 on each connection, or 60 with times of another sum.
        assert!(report.code == 0 && (200..=6_000).contains(&messages), "{think}: {messages}");
    }
}

#[test]
fn a_connection_that_thinks_ends_with_the_duration_and_echoes_after_the_hold() {
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-c", "3", "-d", "1s", "--think", "1h"];
    let held = [&flags[..], &["--hold", "10ms", "--json"]].concat();
    let held = ClientProcess::start(client(server.address, &held));
    let report = run_json(server.address, &flags);
    assert_eq!((report.code, report.number("messages")), (0, 3), "{report:?}");
    let held = held.report();
    assert_eq!((held.code, held.number("messages")), (0, 6), "{held:?}");
}

#[test]
fn an_interrupt_or_a_close_ends_thinking() {
    let server = Running::echo(config(Framing::Raw));
    let command = client(server.address, &["-c", "3", "-d", "1h", "--think", "1h", "--json"]);
    let process = ClientProcess::start(command);
    server.wait_until("messages arrive", |stats| stats.sum(|it| &it.messages) == 3);
    process.signal(Signal::INT);
    let report = process.report();
    // Some replies may not have arrived yet.
    assert!(report.code == 130 && report.number("messages") <= 3, "{report:?}");
    assert_eq!(report.number("errors"), 0, "{report:?}");
    let closing = crate::support::fake_server::responding(|stream, bytes| {
        send(stream, &bytes);
        stream.shutdown(std::net::Shutdown::Both).expect("it closes");
    });
    let closed = run_json(closing, &["-c", "1", "-n", "2", "--think", "1h"]);
    closed.assert_complaints(&[("the server closed a connection that was idle", 1)]);
}

#[test]
fn the_think_time_is_part_of_the_plan() {
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-c", "1", "-n", "1", "--think"];
    let of = |think| run_json(server.address, &[&flags[..], &[think]].concat()).json;
    let (fixed, exp) = (of("1ms"), of("1ms,exp"));
    assert_eq!(
        (&exp["plan"]["think_seconds"], &exp["plan"]["think_spread"]),
        (&0.001.into(), &"exp".into())
    );
    let refused = report(&[written("fixed.json", &fixed), written("exp.json", &exp)], &[]);
    assert!(
        stderr(&refused).contains("think_spread is \"fixed\" in one and \"exp\""),
        "{refused:?}"
    );
    let text = run(server.address, &[&flags[..], &["1ms,exp"]].concat()).stdout;
    assert!(String::from_utf8_lossy(&text).contains(", think 0.001 s exp"), "{text:?}");
}
