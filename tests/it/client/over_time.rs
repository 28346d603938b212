//! Results and progress show when something happened.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use reactor_server::Framing;
use rustix::process::Signal;
use serde_json::Value;

use crate::small_pipe::{SIZE, small_pipe};
use crate::support::client::{ClientProcess, JsonReport, client, report, run_json, written};
use crate::support::eventually;
use crate::support::fake_server::{Wire, answering, server};
use crate::support::running::{Running, config};
use crate::support::terminal::Terminal;

const MILLI: Duration = Duration::from_millis(1);

/// What happened in a step: messages, errors, reconnects, and how many replies had which latency.
type Step = (u64, u64, u64, BTreeMap<u64, u64>);

fn list(json: &Value, key: &str) -> Vec<u64> {
    let list = json["timeline"][key].as_array().unwrap_or_else(|| panic!("no {key}"));
    list.iter().map(|it| it.as_u64().expect("a count")).collect()
}

/// The steps of a result, by their number since 1970.
fn steps(json: &Value) -> BTreeMap<u64, Step> {
    assert_eq!(json["timeline"]["step_seconds"], 0.1, "the run was long");
    let began = json["timeline"]["began"].as_f64().expect("a time");
    let histograms = json["timeline"]["histograms"].as_array().expect("a list");
    let counts = [list(json, "messages"), list(json, "errors"), list(json, "reconnects")];
    let step = |index: usize| {
        let [messages, errors, reconnects] = [0, 1, 2].map(|kind: usize| counts[kind][index]);
        let latencies = decoded(histograms[index].as_str().expect("a text"));
        assert_eq!(latencies.values().sum::<u64>(), messages);
        ((began * 10.0).round() as u64 + index as u64, (messages, errors, reconnects, latencies))
    };
    (0..histograms.len()).map(step).collect()
}

fn decoded(text: &str) -> BTreeMap<u64, u64> {
    if text.is_empty() {
        return BTreeMap::new();
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
    let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).expect("it");
    histogram.iter_recorded().map(|it| (it.value_iterated_to(), it.count_at_value())).collect()
}

fn since_1970(moment: SystemTime) -> f64 {
    moment.duration_since(UNIX_EPOCH).expect("it is later").as_secs_f64()
}

#[test]
fn a_stall_is_in_the_steps_in_which_it_was() {
    let stall = Arc::new(OnceLock::new());
    let (theirs, began) = (Arc::clone(&stall), OnceLock::new());
    let server = answering(Wire::Raw(24), move |_, message| {
        let began: &Instant = began.get_or_init(Instant::now);
        if began.elapsed() >= 400 * MILLI {
            theirs.get_or_init(|| {
                let began = SystemTime::now();
                thread::sleep(400 * MILLI);
                [began, SystemTime::now()]
            });
        }
        message
    });
    // In a closed loop nothing else has the client look up meanwhile.
    let report = run_json(server, &["-c", "1", "-d", "2s"]);
    assert_eq!(report.code, 0, "{report:?}");
    let [stall, end] = stall.get().expect("it has stalled").map(since_1970);
    let timeline = &report.json["timeline"];
    let (first, messages) =
        (timeline["began"].as_f64().expect("a time"), list(&report.json, "messages"));
    assert_eq!(messages.iter().sum::<u64>(), report.number("messages"));
    let figures = |key: &str| timeline["latency_us"][key].as_array().expect("a list").clone();
    let (p50, max) = (figures("p50"), figures("max"));
    let mut silent = 0;
    for (index, &count) in messages.iter().enumerate() {
        let from = first + 0.1 * index as f64;
        assert_eq!((p50[index].is_null(), max[index].is_null()), (count == 0, count == 0));
        // The client looks up 2 ms late.
        if from > stall + 0.05 && from + 0.1 < end - 0.02 {
            assert_eq!(count, 0, "step {index} is within the stall: {messages:?}");
            silent += 1;
        }
    }
    assert!(silent >= 2, "{messages:?}");
    let slowest: Vec<_> = max.iter().map(|it| it.as_f64().unwrap_or(0.0)).collect();
    let is_late = slowest.iter().enumerate().any(|(index, &latency)| {
        let from = first + 0.1 * index as f64;
        // It may take a moment until a busy machine gets to it.
        latency >= 400_000.0 && from + 0.1 > end - 0.02 && from < end + 1.5
    });
    assert!(is_late, "{slowest:?} {first} {end}");
    let slowest = slowest.into_iter().fold(0.0, f64::max);
    let exact = report.json["latency_us"]["max"].as_f64().expect("a latency");
    assert!((exact..=1.01 * exact).contains(&slowest), "{slowest} {exact}");
}

#[test]
fn errors_and_reconnects_are_in_their_steps() {
    let moment = Arc::new(OnceLock::new());
    let theirs = Arc::clone(&moment);
    let server = answering(Wire::Raw(24), move |place, mut message| {
        if place.connection == 0 && place.number == 70 {
            theirs.get_or_init(SystemTime::now);
            message[5] ^= 1;
        }
        message
    });
    let wrong = run_json(server, &["-c", "3", "--rate", "600", "-n", "120"]);
    assert_eq!((wrong.code, wrong.number("mismatches")), (1, 1), "{wrong:?}");
    let errors: Vec<_> = steps(&wrong.json)
        .into_iter()
        .filter(|(_, step)| step.1 > 0)
        .map(|(at, step)| (at, step.1))
        .collect();
    let since = (10.0 * since_1970(*moment.get().expect("a wrong reply"))) as u64;
    let [(at, 1)] = errors[..] else { panic!("{errors:?}") };
    // A busy client may see it late.
    assert!((since..since + 15).contains(&at), "{at} {since}");

    let server = Running::echo(config(Framing::Raw));
    let flags = ["-c", "3", "-n", "40", "--reconnect-every", "10", "--close", "rst"];
    let churn = run_json(server.address, &flags);
    assert_eq!((churn.code, &churn.json["connections"]["reopened"]), (0, &9.into()));
    assert_eq!(list(&churn.json, "reconnects").iter().sum::<u64>(), 9);
}

#[test]
fn the_steps_of_merged_clients_are_the_sums_of_their_own() {
    let server = Running::echo(config(Framing::Raw));
    let flags: [&[&str]; 3] = [
        &["-c", "2", "-d", "1s", "--rate", "2k"],
        &["-c", "5", "-d", "1s", "--rate", "2k", "--threads", "3"],
        &["-c", "3", "-d", "1s", "--rate", "2k", "--threads", "2"],
    ];
    let parts: Vec<Value> = thread::scope(|scope| {
        let threads = flags.map(|flags| {
            thread::sleep(130 * MILLI);
            scope.spawn(|| run_json(server.address, flags).json)
        });
        threads.into_iter().map(|it| it.join().expect("no panic")).collect()
    });
    let mut sums = BTreeMap::<u64, Step>::new();
    for (number, step) in parts.iter().flat_map(steps) {
        let sum = sums.entry(number).or_default();
        (sum.0, sum.1, sum.2) = (sum.0 + step.0, sum.1 + step.1, sum.2 + step.2);
        step.3.into_iter().for_each(|(latency, count)| *sum.3.entry(latency).or_default() += count);
    }
    let files: Vec<_> = parts
        .iter()
        .enumerate()
        .map(|(number, it)| written(&format!("steps-{number}.json"), it))
        .collect();
    let merged = JsonReport::of(&report(&files, &["--json"])).json;
    assert_eq!(steps(&merged), sums);
    assert_eq!(
        list(&merged, "messages").iter().sum::<u64>(),
        merged["messages"].as_u64().expect("it")
    );
    let firsts = parts.iter().map(|it| it["timeline"]["messages_began"].as_f64().expect("a time"));
    let first = firsts.fold(f64::INFINITY, f64::min);
    assert_eq!(merged["timeline"]["messages_began"].as_f64(), Some(first));
}

/// A server whose first connection fails after 300 ms, and which stops after 900 ms.
fn stopping() -> SocketAddr {
    let began = OnceLock::new();
    server(move |connection, mut stream: TcpStream| {
        let mut message = [0; 24];
        while stream.read_exact(&mut message).is_ok() {
            let passed = began.get_or_init(Instant::now).elapsed();
            if connection == 0 && passed > 300 * MILLI {
                return;
            }
            // The client may be gone.
            if passed < 900 * MILLI && stream.write_all(&message).is_err() {
                return;
            }
        }
    })
}

#[test]
fn lines_show_the_interval_before_them_and_a_stopped_server_has_no_rate() {
    let flags = ["-c", "3", "--rate", "600", "-d", "1m", "--interval", "200ms", "--json"];
    let process = ClientProcess::start(client(stopping(), &flags));
    process.wait_for_stderr("  2 connections  0 per second  0 errors");
    process.signal(Signal::INT);
    let report = process.report();
    assert_eq!((report.code, report.number("errors")), (130, 1), "{report:?}");
    let lines: Vec<Vec<&str>> = report
        .stderr
        .lines()
        .filter(|line| line.contains(" per second  "))
        .map(|line| line.trim().split("  ").collect())
        .collect();
    // A busy machine may have no reply in the first interval.
    let first = lines.iter().find(|line| line.len() == 6).expect("a line of messages");
    let before = |text: &str, unit: &str| -> f64 {
        let number = text.strip_suffix(unit).unwrap_or_else(|| panic!("{text:?} has no{unit}"));
        number.parse().expect("a number")
    };
    assert!((0.2..5.0).contains(&before(first[0], " s")), "{first:?}");
    assert!(first[1].ends_with(" connections"), "{first:?}");
    assert!((1.0..3000.0).contains(&before(first[2], " per second")), "{first:?}");
    assert!(first[3].starts_with("p50 ") && first[4].starts_with("p99 "), "{first:?}");
    let last_field = |line: &[&str]| line[line.len() - 1].trim_end_matches('s').to_owned();
    let errors: Vec<_> = lines.iter().map(|it| before(&last_field(it), " error")).collect();
    assert_eq!(errors.iter().sum::<f64>(), 1.0, "{errors:?}");
}

#[test]
fn the_bar_shows_the_last_interval_and_a_stopped_server_has_no_rate() {
    let terminal = Terminal::open();
    // In a closed loop the client has nothing to do once the server has stopped.
    let flags = ["-c", "3", "-d", "1m", "--interval", "300ms", "--json"];
    let mut command = client(stopping(), &flags);
    command.env("TERM", "xterm").stdout(Stdio::null()).stderr(terminal.end());
    let mut process = command.spawn().expect("a process");
    drop(command);
    for text in [" per second  p50 ", "left  0 per second  0 errors"] {
        eventually(text, || terminal.so_far().contains(text));
    }
    process.kill().expect("it runs");
    process.wait().expect("it ends");
}

#[test]
fn connections_that_send_nothing_yet_have_no_rate() {
    let server = Running::echo(config(Framing::Raw));
    // Each of the three takes more than a second, so that a busy client has time for a line.
    let flags = ["-c", "6", "--connect-rate", "4", "--warmup", "1300ms", "--hold", "1300ms"];
    let more = ["-n", "3", "--interval", "200ms"];
    let report = run_json(server.address, &[&flags[..], &more].concat());
    assert_eq!(report.code, 0, "{report:?}");
    let lines = |what: &str| report.stderr.lines().filter(|line| line.ends_with(what)).count();
    for what in ["opening  0 errors", "warming up  0 errors", "6 connections  held  0 errors"] {
        assert!(lines(what) >= 1, "{what}: {}", report.stderr);
    }
}

/// While it cannot print a line, it takes no steps. They grow longer, and no reply is lost.
#[test]
fn a_terminal_that_does_not_read_costs_no_reply() {
    let closed = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&closed);
    let server = server(move |_, mut stream| {
        let mut writer = stream.try_clone().expect("a second handle");
        let _ = io::copy(&mut stream, &mut writer);
        theirs.fetch_add(1, Ordering::Relaxed);
    });
    let (mut reader, mut writer) = small_pipe().expect("a pipe");
    writer.write_all(&[b'.'; SIZE]).expect("room");
    let flags = ["-c", "2", "--rate", "1k", "-n", "1100", "--interval", "100ms", "--json"];
    let mut command: Command = client(server, &flags);
    let process = command.stdout(Stdio::piped()).stderr(writer).spawn().expect("a process");
    drop(command);
    eventually("the load is over", || closed.load(Ordering::Relaxed) == 2);
    let reading = thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
    let output = process.wait_with_output().expect("its end");
    reading.join().expect("no panic").expect("it is read");
    let json: Value = serde_json::from_slice(&output.stdout).expect("an object");
    assert_eq!((output.status.code(), &json["messages"]), (Some(0), &2200.into()));
    let messages: Vec<_> = steps(&json).into_values().map(|step| step.0).collect();
    assert_eq!(messages.iter().sum::<u64>(), 2200);
    assert!(messages.iter().max() > Some(&500), "it had room for all steps: {messages:?}");
}

#[test]
fn results_of_earlier_versions_are_read_and_have_no_latency_over_time() {
    let server = Running::echo(config(Framing::Raw));
    let run = || run_json(server.address, &["-c", "2", "-n", "20"]).json;
    let (mut old, new) = (run(), run());
    let timeline = old["timeline"].as_object_mut().expect("an object");
    for key in ["messages_began", "errors", "reconnects", "histograms", "latency_us"] {
        timeline.remove(key).unwrap_or_else(|| panic!("no {key}"));
    }
    let (old, new) = (written("over-time-old.json", &old), written("over-time-new.json", &new));
    let page = crate::support::temporary("over-time-old.html").display().to_string();
    let alone = JsonReport::of(&report(&[&old], &["--json", "--html", &page]));
    assert_eq!((alone.code, alone.json["timeline"].get("latency_us")), (0, None));
    let page = std::fs::read_to_string(page).expect("a page");
    assert!(page.contains("Messages per second") && !page.contains("Latency over time"));
    let both = JsonReport::of(&report(&[&old, &new], &["--json"]));
    assert_eq!((both.code, both.number("messages")), (0, 80));
    assert_eq!(list(&both.json, "messages").iter().sum::<u64>(), 80);
    // They would be those of one of the clients.
    assert_eq!(
        (list(&both.json, "errors").len(), both.json["timeline"].get("latency_us")),
        (0, None)
    );
}
