//! `--start-at`: clients that are ready begin at one moment.

use std::collections::HashSet;
use std::io::Read;
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Utc};
use reactor_server::Framing;
use rustix::process::Signal;

use crate::support::client::{ClientProcess, JsonReport, client, run_json, stderr};
use crate::support::fake_server::{send, server};
use crate::support::running::{Running, config};
use crate::support::unused_address;

fn in_(time: Duration) -> SystemTime {
    SystemTime::now() + time
}

fn seconds(moment: SystemTime) -> f64 {
    moment.duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

const HOUR: Duration = Duration::from_secs(3600);

/// An echo server that keeps when messages arrived.
fn noting() -> (SocketAddr, Arc<Mutex<Vec<SystemTime>>>) {
    let arrivals = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&arrivals);
    let address = server(move |_, mut stream| {
        let mut message = [0; 24];
        while stream.read_exact(&mut message).is_ok() {
            notes.lock().expect("no panic").push(SystemTime::now());
            send(&mut stream, &message);
        }
    });
    (address, arrivals)
}

#[test]
fn messages_begin_at_the_moment_on_connections_that_are_open() {
    let (address, arrivals) = noting();
    let moment = in_(Duration::from_secs(3));
    let texts = [seconds(moment).to_string(), DateTime::<Utc>::from(moment).to_rfc3339()];
    let more = [&["--threads", "2"][..], &["--rate", "1k", "--warmup", "50ms"]];
    let processes: Vec<_> = texts
        .iter()
        .zip(more)
        .map(|(text, more)| {
            let flags = ["-c", "4", "-n", "20", "--start-at", text, "--json"];
            ClientProcess::start(client(address, &[&flags[..], more].concat()))
        })
        .collect();
    for process in &processes {
        process.wait_for_stderr("4 connections are open: messages begin in ");
        assert!(SystemTime::now() < moment, "this machine is too slow for the test");
    }
    for process in processes {
        let report = process.report();
        assert_eq!((report.code, report.number("messages")), (0, 80), "{report:?}");
        let began = report.json["ended"].as_f64().expect("it")
            - report.json["seconds"].as_f64().expect("it");
        // A busy machine is late, and the clock may be corrected meanwhile.
        assert!((-0.01..10.0).contains(&(began - seconds(moment))), "{began} of {moment:?}");
        let timeline = report.json["timeline"]["began"].as_f64().expect("it");
        // Its steps begin at whole tenths of a second.
        assert!((-0.25..10.0).contains(&(timeline - seconds(moment))), "{timeline} of {moment:?}");
    }
    let first = arrivals.lock().expect("no panic")[0];
    assert!(first >= moment, "{:?} early", moment.duration_since(first));
}

#[test]
fn a_moment_that_passes_while_connections_open_is_said_and_missed() {
    let server = Running::echo(config(Framing::Raw));
    let start_at = seconds(in_(Duration::from_secs(2))).to_string();
    let flags = ["-c", "4", "-n", "5", "-q", "--start-at", &start_at];
    let quiet = ClientProcess::start(client(server.address, &flags));
    // The last connection opens after three seconds.
    let flags = ["-c", "4", "--connect-rate", "1", "-n", "5", "--start-at", &start_at];
    let report = run_json(server.address, &flags);
    assert_eq!((report.code, report.number("messages")), (0, 20), "{report:?}");
    let said = report.stderr.trim();
    assert!(said.starts_with("the connections were open "), "{said}");
    assert!(said.ends_with(" s after --start-at: messages begin now"), "{said}");
    assert_eq!(stderr(&quiet.output()), "");
}

#[test]
fn an_interrupt_ends_the_wait() {
    let server = Running::echo(config(Framing::Raw));
    let start_at = seconds(in_(HOUR)).to_string();
    for more in [&[][..], &["--threads", "3"], &["--rate", "1k"]] {
        let flags = ["-c", "5", "--start-at", &start_at, "--json"];
        let process = ClientProcess::start(client(server.address, &[&flags[..], more].concat()));
        process.wait_for_stderr("5 connections are open");
        let began = Instant::now();
        process.signal(Signal::INT);
        let report = process.report();
        assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
        assert_eq!((report.code, report.number("messages")), (130, 0), "{report:?}");
        assert_eq!(
            (report.number("errors"), &report.json["connections"]["opened"]),
            (0, &5.into())
        );
    }
}

/// Without a connection there is nothing to wait for.
#[test]
fn the_wait_ends_with_the_last_connection() {
    let start_at = seconds(in_(HOUR)).to_string();
    let flags = ["-c", "3", "-n", "1", "--start-at", &start_at];
    let refused = run_json(unused_address(), &flags);
    assert_eq!((refused.code, refused.number("errors")), (1, 3), "{refused:?}");
    let all_wait = Arc::new(Barrier::new(4));
    let theirs = Arc::clone(&all_wait);
    let closing = server(move |_, stream| {
        theirs.wait();
        stream.shutdown(Shutdown::Write).expect("it closes");
    });
    let process = ClientProcess::start(client(closing, &[&flags[..], &["--json"]].concat()));
    process.wait_for_stderr("3 connections are open");
    all_wait.wait();
    let closed = process.report();
    closed.assert_complaints(&[("the server closed a connection that was idle", 3)]);
}

#[test]
fn clients_of_one_moment_have_poisson_arrivals_of_their_own() {
    let server = Running::echo(config(Framing::Raw));
    let moment = seconds(in_(Duration::from_secs(3))).to_string();
    let flags = ["-c", "2", "-d", "500ms", "--rate", "2k", "--arrival", "poisson"];
    let start = |flags: &[&str]| {
        let flags = [flags, &["--json", "--start-at", &moment]].concat();
        ClientProcess::start(client(server.address, &flags))
    };
    let processes: Vec<_> = (0..4).map(|_| start(&flags)).collect();
    let uniform = start(&["-c", "2", "-n", "5", "--rate", "2k"]);
    let reports: Vec<_> = processes.into_iter().map(ClientProcess::report).collect();
    // How many were due in this time, which differs by 32 on average.
    let due: HashSet<_> =
        reports.iter().map(|it| it.number("messages") + it.number("unsent")).collect();
    let seed = |report: &JsonReport| report.json["environment"]["arrival_seed"].as_u64();
    let seeds: HashSet<_> = reports.iter().map(|it| seed(it).expect("a number")).collect();
    assert!(due.len() > 1 && seeds.len() == 4, "{due:?} {seeds:?}");
    // A run of its own has the arrivals of every other.
    assert_eq!(seed(&run_json(server.address, &flags)), None);
    assert_eq!(seed(&uniform.report()), None);
}
