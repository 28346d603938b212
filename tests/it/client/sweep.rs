//! `client sweep`: loads at several rates, and the search for a limit.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::browser::{Browser, Scheme};
use crate::support::client::{CLIENT, ClientProcess, JsonReport, stderr, variables_of};
use crate::support::fake_server::{Wire, answering, untouched};
use crate::support::running::{Running, config};
use crate::support::{temporary, unused_address};
use reactor_server::Framing;
use rustix::process::Signal;
use serde_json::{Value, json};

/// Steps that are short, and whose messages have room however late the machine is.
const SHORT: [&str; 6] = ["-d", "500ms", "--warmup", "50ms", "--pipeline", "8"];

fn command(target: SocketAddr, flags: &[&str]) -> Command {
    let mut command = Command::new(CLIENT);
    command.args(["sweep", &target.to_string()]).args(flags);
    command
}

fn sweep(target: SocketAddr, flags: &[&str]) -> Output {
    ClientProcess::start(command(target, flags)).output()
}

fn sweep_json(target: SocketAddr, flags: &[&str]) -> JsonReport {
    JsonReport::of(&sweep(target, &[flags, &["--json"]].concat()))
}

fn steps(report: &JsonReport) -> &[Value] {
    report.json["steps"].as_array().expect("a list")
}

fn rates(report: &JsonReport) -> Vec<u64> {
    steps(report).iter().map(|step| step["rate"].as_u64().expect("a rate")).collect()
}

#[test]
fn a_sweep_has_a_step_per_rate_in_json_csv_and_page() {
    let server = Running::echo(config(Framing::Raw));
    let file = |name: &str| temporary(name).display().to_string();
    let (csv, page) = (file("sweep.csv"), file("sweep.html"));
    let outputs = ["--csv", &csv, "--html", &page, "--rates", "300,100..300/3"];
    let report = sweep_json(server.address, &[&SHORT[..], &outputs].concat());
    assert_eq!((report.code, rates(&report)), (0, vec![300, 100, 200, 300]), "{report:?}");
    for step in steps(&report) {
        let number = |key: &str| step[key].as_f64().expect(key);
        // A machine that is busy may leave some unsent.
        assert_eq!(number("messages") + number("unsent"), 0.5 * number("rate"), "{step}");
        let seconds = number("messages") / number("achieved_rate");
        assert!((seconds - number("seconds")).abs() < 1e-6 && seconds >= 0.499, "{step}");
        let has_reasons = step["reasons"] != Value::Array(vec![]);
        assert_eq!(step["held"], !has_reasons, "{step}");
        assert!(step["latency_us"]["p99"].is_number() && step["histogram"].is_string(), "{step}");
        assert!((0.0..=1.0).contains(&number("client_busy")), "{step}");
    }
    assert_eq!((&report.json["plan"]["rate"], report.json.get("limit_rate")), (&Value::Null, None));
    assert!(report.json["environment"]["command"].is_string(), "{report:?}");

    let table = fs::read_to_string(csv).expect("a file");
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((rows.len(), rows[0][0], rows[0].contains(&"p99_9_us")), (5, "rate", true));
    for (row, step) in rows[1..].iter().zip(steps(&report)) {
        assert_eq!(row.len(), rows[0].len());
        for (name, cell) in rows[0].iter().zip(row) {
            let value = name.strip_suffix("_us").map_or(&step[name], |it| &step["latency_us"][it]);
            match value.as_f64() {
                Some(value) => {
                    let cell: f64 = cell.parse().expect("a number");
                    assert!((cell - value).abs() <= 1e-9 * value, "{name}: {cell} {value}");
                }
                None => assert_eq!(*cell, value.to_string(), "{name}"),
            }
        }
    }
    let page = fs::read_to_string(page).expect("a page");
    // Two lines with a circle per step.
    assert_eq!(
        (page.matches("<circle").count(), page.matches("<polyline").count() >= 2),
        (8, true)
    );
    let held = steps(&report).iter().filter(|step| step["held"] == true).count();
    assert_eq!(page.matches("<td>held</td>").count(), held, "{page}");
}

/// A server that answers exactly this many messages per second, however late its threads wake up:
/// the time of each reply follows from that of the reply before.
fn of_capacity(per_second: u32) -> SocketAddr {
    let (each, free) = (Duration::from_secs(1) / per_second, Mutex::new(Instant::now()));
    answering(Wire::Raw(24), move |_, message| {
        let now = Instant::now();
        let mut free = free.lock().expect("no panic");
        *free = now.max(*free) + each;
        let wait = *free - now;
        drop(free);
        thread::sleep(wait);
        message
    })
}

/// Runs searches until one has the result that it must have: a machine that has other things to do
/// can lower a limit. Each ends by itself, after 100 steps at most.
fn search(
    target: SocketAddr,
    flags: &[&str],
    is_right: impl Fn(&JsonReport) -> bool,
) -> JsonReport {
    let search = |_| {
        let output = command(target, &[flags, &["--json"]].concat()).output();
        JsonReport::of(&output.expect("it runs"))
    };
    let is_right = |report: &JsonReport| {
        eprintln!("{} by {:?}", report.json["outcome"], rates(report));
        is_right(report)
    };
    (0..5).map(search).find(is_right).expect("one is right")
}

#[test]
fn the_limit_of_a_server_of_known_capacity_is_within_5_percent() {
    let flags = ["--limit", "p50<15ms", "-d", "300ms", "--warmup", "50ms", "--fail-if", "rate<1k"];
    let report = search(of_capacity(1500), &flags, |report| {
        let limit = report.json["limit_rate"].as_u64().unwrap_or(0);
        // Nothing can raise it.
        assert!(limit <= 1575, "{}", report.stderr);
        limit >= 1425
    });
    assert_eq!(report.code, 0, "{}", report.stderr);
    let limit = report.number("limit_rate");
    let bracket = |key: &str| report.json["bracket"][key].as_u64().expect("a rate");
    assert!(bracket("held") == limit && (limit..=limit + 40).contains(&bracket("failed")));
    // The rate found held twice in a row.
    let at_limit = steps(&report).iter().filter(|step| step["rate"] == limit);
    let held: Vec<_> = at_limit.map(|step| step["held"] == true).collect();
    assert!(held.ends_with(&[true, true]), "{held:?}");
    let outcome = format!("in {} steps", steps(&report).len());
    assert!(report.json["outcome"].as_str().is_some_and(|it| it.ends_with(&outcome)), "{report:?}");
}

/// The server sees a stream of bytes, and the client verifies each of its many short messages.
#[test]
fn where_the_client_is_the_bottleneck_there_is_no_limit_but_an_error_that_says_so() {
    let server = Running::echo(config(Framing::Raw));
    let goal = ["--limit", "p99<1s", "-d", "50ms", "--warmup", "20ms"];
    let load = ["-c", "4", "--pipeline", "10k", "-s", "1"];
    let flags = [&goal[..], &load].concat();
    let report = search(server.address, &flags, |report| {
        let outcome = report.json["outcome"].as_str().expect("a text");
        outcome.starts_with("not found: ") && outcome.contains("the client is the bottleneck")
    });
    assert_eq!((report.code, &report.json["limit_rate"]), (1, &Value::Null), "{report:?}");
    let error = format!("error: the limit was {}", report.json["outcome"].as_str().expect("text"));
    assert!(report.stderr.lines().any(|line| line == error), "{}", report.stderr);
    let reason = Value::from("the client was busy");
    let is_busy = |step: &Value| {
        let reasons = step["reasons"].as_array().expect("a list");
        step["client_busy"].as_f64() >= Some(0.9) && reasons.contains(&reason)
    };
    assert!(steps(&report).iter().any(is_busy), "{}", report.stderr);
}

#[test]
fn an_interrupt_ends_a_sweep_whose_steps_so_far_are_printed() {
    let server = Running::echo(config(Framing::Raw));
    let flags = [&SHORT[..], &["--rates", "100..200/100"]].concat();
    for format in [&["--json"][..], &[]] {
        let command = command(server.address, &[&flags, format].concat());
        let process = ClientProcess::start(command);
        process.wait_for_stderr("step 2, 101 per second: ");
        process.signal(Signal::INT);
        let output = process.output();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        match format {
            [] => assert!(
                text.starts_with("interrupted: 30 connections to ") && text.contains("\n 101 "),
                "{text}"
            ),
            _ => {
                let report = JsonReport::of(&output);
                assert_eq!(report.json["interrupted"], true);
                assert!((2..10).contains(&steps(&report).len()), "{text}");
            }
        }
    }
}

#[test]
fn a_sweep_ends_where_no_message_is_answered_and_says_so_even_if_it_is_quiet() {
    for (goal, error) in [
        (&["--rates", "100,200,300"][..], "error: the sweep ended: at 100 per second no message"),
        (&["--limit", "p99<1s"], "error: the limit was not found: at 1,000 per second no message"),
    ] {
        let flags = [&SHORT[..], goal].concat();
        let quiet = [&flags[..], &["-q"]].concat();
        for flags in [&flags, &quiet] {
            let report = sweep_json(unused_address(), flags);
            assert_eq!((report.code, steps(&report).len()), (1, 1), "{report:?}");
            assert!(report.stderr.contains(error), "{}", report.stderr);
            // It was due, and the client had nothing to do.
            let step = &steps(&report)[0];
            assert_eq!(step["unsent"].as_f64(), step["rate"].as_f64().map(|it| it / 2.0));
            assert!(step["client_busy"].as_f64() < Some(0.9), "{step}");
            let errors = report.stderr.matches("30 x cannot connect: Connection refused").count();
            assert_eq!(errors, 1, "{report:?}");
        }
        let output = sweep(unused_address(), &quiet);
        let stderr = stderr(&output);
        assert!(stderr.starts_with(error) && stderr.lines().count() == 1, "{stderr}");
    }
}

#[test]
fn a_limit_that_is_not_found_has_its_reason() {
    let server = Running::echo(config(Framing::Raw));
    let short = ["-q", "-d", "200ms", "--warmup", "50ms", "-c", "2", "--limit"];
    // No reply over TCP takes less than that. In the end the steps are too short for the rate.
    let report = sweep_json(server.address, &[&short[..], &["max<1us"]].concat());
    let rate = rates(&report).pop().expect("a step");
    let outcome = format!(
        "not found: none of the rates above holds max<1us, and at {rate} per second no message is \
         due within 0.2 s; give a longer --duration"
    );
    assert_eq!((report.code, &report.json["outcome"]), (1, &json!(outcome)), "{report:?}");
    assert_eq!(report.stderr, format!("error: the limit was {outcome}\n"));
    assert!(rate < 5 && report.json["limit_rate"].is_null(), "{report:?}");

    let flags = ["-d", "500ms", "--warmup", "50ms", "--json", "--limit", "max<1us"];
    let process = ClientProcess::start(command(server.address, &flags));
    process.wait_for_stderr("step 2, 1,000 per second: failed: max is ");
    process.signal(Signal::INT);
    let report = process.report();
    let outcome =
        format!("not found: the sweep was interrupted in step {}", steps(&report).len() + 1);
    assert_eq!((report.code, &report.json["outcome"]), (130, &json!(outcome)), "{report:?}");
}

#[test]
fn a_wrong_reply_fails_its_step_and_the_sweep() {
    let server = answering(Wire::Raw(24), |place, mut message| {
        message[20] ^= u8::from(place.connection == 30 && place.number == 3);
        message
    });
    let output = sweep(server, &[&SHORT[..], &["--rates", "300,600,300"]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text.contains("error     at 600 per second: 1 x wrong bytes: reply 3 "), "{text}");
    let rows: Vec<_> = text.lines().skip(2).take(3).collect();
    assert!(rows[1].contains("  failed: ") && rows[1].ends_with("errors"), "{text}");
    assert!(!rows[0].contains("errors") && !rows[2].contains("errors"), "{text}");
}

#[test]
fn a_condition_concerns_every_rate_or_the_one_that_was_found() {
    let server = Running::echo(config(Framing::Raw));
    // However late the machine is, the first step has few messages and the second many.
    let flags = ["-d", "500ms", "--warmup", "50ms", "--pipeline", "8", "--rates", "20,500"];
    let condition = ["--fail-if", "messages<15"];
    let output = sweep(server.address, &[&flags[..], &condition].concat());
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let lines = stderr(&output);
    let met: Vec<_> = lines.lines().filter(|line| line.contains("came true")).collect();
    assert!(
        met.len() == 1 && met[0].starts_with("at 20 per second: --fail-if messages<15"),
        "{lines}"
    );
}

#[test]
fn invalid_flags_of_a_sweep_are_refused_with_a_reason() {
    let (listener, address) = untouched();
    for (flags, reason) in [
        (&[][..], "a sweep needs --rates or --limit"),
        (&["--rates", "1k", "--limit", "p99<1ms"], "--rates and --limit exclude each other"),
        (&["--rates", "1k..2k"], "a range needs its number of steps"),
        (&["--rates", "1k,x"], "invalid value '1k,x' for '--rates <LIST>'"),
        (&["--limit", "p99>1ms"], "expected an upper limit of a percentile or of max"),
        (&["--limit", "rate<1k"], "expected an upper limit of a percentile or of max"),
        (&["--limit", "p99<0"], "no latency is 0: expected more, such as p99<1ms"),
        (&["--rates", "10..12/9"], "10..12 has only 3 rates: write 10..12/3"),
        (&["--limit", "p99<1"], "invalid value 'p99<1' for '--limit <LIMIT>'"),
        (&["--rates", "1k", "--rate", "5"], "--rate is one rate"),
        (&["--rates", "1k", "-n", "5"], "--messages gives each rate another duration"),
        (&["--rates", "1k", "--hold", "5s"], "--hold does not fit a sweep"),
        (&["--rates", "1k", "--check"], "unexpected argument '--check'"),
        (&["--rates", "1k", "5", "-c", "5"], "CONNECTIONS and --connections are the same"),
    ] {
        let output = sweep(address, flags);
        let stderr = stderr(&output);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{flags:?}");
        assert!(stderr.starts_with("error: ") && stderr.contains(reason), "{flags:?}: {stderr}");
    }
    let mut command = command(address, &["--rates", "1k"]);
    command.env("CLIENT_RATE", "5");
    let output = ClientProcess::start(command).output();
    let named = "(CLIENT_RATE=\"5\" in the environment)";
    assert!(output.status.code() == Some(2) && stderr(&output).contains(named), "{output:?}");
    assert!(listener.accept().is_err(), "it has connected");
}

#[test]
fn an_empty_variable_of_a_sweep_is_one_that_is_not_set() {
    let server = Running::echo(config(Framing::Raw));
    let names = variables_of(CLIENT, &["sweep"]);
    for name in ["CLIENT_RATES", "CLIENT_LIMIT", "CLIENT_CSV", "CLIENT_HTML"] {
        assert!(names.iter().any(|it| it == name), "{names:?}");
    }
    let mut command = command(server.address, &[&SHORT[..], &["--json"]].concat());
    command.envs(names.iter().map(|name| (name, ""))).env("CLIENT_RATES", "100");
    let report = ClientProcess::start(command).report();
    assert_eq!((report.code, rates(&report)), (0, vec![100]), "{}", report.stderr);
}

#[test]
fn outputs_of_a_sweep_that_cannot_be_written_are_errors() {
    let (listener, address) = untouched();
    for flag in ["-o", "--csv", "--html"] {
        let output = sweep(address, &["--rates", "1k", flag, "/no/such/folder/file"]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{flag}");
        let error = "error: cannot write to /no/such/folder/file";
        assert!(stderr(&output).starts_with(error), "{output:?}");
    }
    let same = temporary("sweep-same").display().to_string();
    for other in ["--html", "-o"] {
        let output = sweep(address, &["--rates", "1k", "--csv", &same, other, &same]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(stderr(&output).contains("have the same output"), "{output:?}");
    }
    assert!(listener.accept().is_err(), "it has connected");
    let server = Running::echo(config(Framing::Raw));
    for (flag, what) in [("-o", "the results"), ("--csv", "the CSV"), ("--html", "the page")] {
        let flags = ["-q", "--rates", "100", flag, "/dev/full"];
        let output = sweep(server.address, &[&SHORT[..], &flags].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        // The results are printed all the same.
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.lines().any(|line| line.starts_with(" 100 ")), "{output:?}");
        let error = format!("error: cannot write {what}");
        assert!(stderr(&output).starts_with(&error), "{output:?}");
    }
}

#[test]
fn a_browser_renders_the_page_of_a_sweep_wide_and_narrow() {
    let Some(browser) = Browser::find() else {
        return eprintln!("skipped: no browser is installed (Debian's chromium)");
    };
    let server = Running::echo(config(Framing::Raw));
    let page = temporary("sweep-shown.html").display().to_string();
    let flags = [&SHORT[..], &["--rates", "200..2k/4", "--html", &page]].concat();
    assert_eq!(sweep_json(server.address, &flags).code, 0);
    let page = fs::read_to_string(page).expect("a page");
    for (name, width) in [("sweep-wide", 1000), ("sweep-narrow", 360)] {
        let seen = browser.show(name, &page, width, Scheme::Light);
        assert!(seen["scroll"].as_f64() <= seen["width"].as_f64(), "{seen}");
        assert_eq!((&seen["fetched"], &seen["overlaps"]), (&0.into(), &json!([])), "{seen}");
        assert!(seen["letters"].as_f64() >= Some(9.0), "{seen}");
    }
}
