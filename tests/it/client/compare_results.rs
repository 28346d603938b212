//! `client compare` of results in files, its page, and what it refuses.

use std::fs;
use std::net::SocketAddr;
use std::process::Output;

use hdrhistogram::Histogram;
use reactor_server::Framing;
use serde_json::{Value, json};

use crate::support::browser::{Browser, Scheme};
use crate::support::client::{
    CLIENT, ClientProcess, JsonReport, compare, encoded, run_json, stderr, variables_of, written,
};
use crate::support::running::{Running, config};
use crate::support::{temporary, unused_address};

/// The results of a run of a server.
fn results(server: &Running, flags: &[&str]) -> Value {
    let report = run_json(server.address, &[&["-n", "50", "-q"], flags].concat());
    assert_eq!(report.code, 0, "{report:?}");
    report.json
}

/// Writes a file of these results for each rate, as of another run, and returns the words that
/// name them.
fn files(name: &str, results: &Value, rates: &[f64]) -> Vec<String> {
    let file = |(number, rate): (usize, &f64)| {
        let mut run = results.clone();
        // The rate is calculated from them.
        run["seconds"] = json!(1500.0 / rate);
        run["environment"]["pid"] = json!(number + 1);
        format!("{name}={}", written(&format!("compare-{name}-{number}.json"), &run))
    };
    rates.iter().enumerate().map(file).collect()
}

fn compared(words: &[String], flags: &[&str]) -> Output {
    ClientProcess::start(compare(words, flags)).output()
}

#[test]
fn files_of_one_name_are_runs_in_pairs() {
    let server = Running::echo(config(Framing::Raw));
    let one = results(&server, &[]);
    let words = [
        files("old", &one, &[1000.0, 2000.0, 4000.0, 3000.0]),
        files("new", &one, &[1100.0, 2400.0, 5200.0, 3600.0]),
    ]
    .concat();
    let json = JsonReport::of(&compared(&words, &["--json"]));
    assert_eq!((json.code, json.stderr.as_str()), (0, ""));
    let (servers, number) = (&json.json["servers"], |it: &Value| it.as_f64().expect("a number"));
    let old = &servers[0]["figures"]["rate"];
    let spread = ["least", "median", "most"].map(|key| number(&old[key]).round());
    assert_eq!(spread, [1000.0, 2500.0, 4000.0]);
    // Of 1.1, 1.2, 1.3 and 1.2, as one of four intervals. With three degrees of freedom the
    // quantile of 1 - 0.05 / 8 is 5.3919.
    let ratio = &servers[1]["ratios"]["rate"];
    for (key, truth) in [("ratio", 1.1979), ("low", 0.9956), ("high", 1.4413)] {
        assert!((number(&ratio[key]) - truth).abs() < 1e-3, "{key}: {ratio}");
    }
    // They are the same messages.
    let p99 = &servers[1]["ratios"]["p99_us"];
    assert_eq!((number(&p99["ratio"]), &p99["differs"]), (1.0, &json!(false)));
    let text = String::from_utf8(compared(&words, &[]).stdout).expect("a text");
    assert!(
        text.contains("\nnew and old do not differ by more than these runs do: rate, "),
        "{text}"
    );
    assert!(
        text.contains("\n  new  3,000/s  (1,100/s to 5,200/s)  1.198 (0.996 to 1.441)\n"),
        "{text}"
    );
}

#[test]
fn different_loads_are_compared_with_a_note_and_never_as_one_server() {
    let server = Running::echo(config(Framing::Raw));
    let (small, large) = (results(&server, &[]), results(&server, &["-s", "48"]));
    let [a, b] = [files("a", &small, &[1e3]), files("b", &large, &[1e3])];
    let text = String::from_utf8(compared(&[a, b].concat(), &[]).stdout).expect("a text");
    let note = "note      a and b had different loads: size is 24 in one and 48 in the other";
    assert!(text.contains(note), "{text}");
    let other = results(&Running::echo(config(Framing::Raw)), &[]);
    let connections = results(&server, &["-c", "3"]);
    let word = |name: &str, results: &Value| {
        format!("b={}", written(&format!("compare-mixed-{name}.json"), results))
    };
    let first = word("first", &small);
    for (second, reason) in [
        (word("large", &large), "the runs of b had different loads: size is 24"),
        (word("connections", &connections), "connections are 30 in one and 3 in the other"),
        (word("other", &other), "the runs of b were on different servers: 127.0.0.1:"),
        (first.clone(), "two runs of b are the same one"),
    ] {
        let words = [files("a", &small, &[1e3, 2e3]), vec![first.clone(), second]].concat();
        let output = compared(&words, &[]);
        let error = stderr(&output);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{error}");
        assert!(error.contains(reason) && error.lines().count() == 1, "{error}");
    }
}

#[test]
fn results_with_errors_are_compared_and_fail() {
    let server = Running::echo(config(Framing::Raw));
    let mut bad = results(&server, &[]);
    let good = bad.clone();
    (bad["errors"], bad["complaints"]) = (json!(1), json!({ "it broke": 1 }));
    let words = [files("good", &good, &[1e3]), files("bad", &bad, &[2e3])].concat();
    let output = compared(&words, &[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text.contains("\nerror     bad, run 1: 1 x it broke\n"), "{text}");
    bad["interrupted"] = json!(true);
    let words = [files("good", &good, &[1e3]), files("bad", &bad, &[2e3])].concat();
    assert_eq!(compared(&words, &[]).status.code(), Some(130));
}

/// The page of a comparison of files under these names.
fn page(name: &str, names: &[&str]) -> String {
    let mut one = results(&Running::echo(config(Framing::Raw)), &[]);
    // 1500 latencies from 11 us to 9 ms.
    let mut latencies = Histogram::<u64>::new(3).expect("a histogram");
    for number in 0..1500_u32 {
        let latency = 11_000.0 * (f64::from(number) / 1499.0 * (9000.0_f64 / 11.0).ln()).exp();
        latencies.record(latency as u64).expect("it fits");
    }
    one["histogram"] = encoded(&latencies);
    let words: Vec<_> =
        names.iter().flat_map(|it| files(it, &one, &[1e3, 2e4, 3e5, 4e5])).collect();
    let page = temporary(&format!("compare-{name}.html")).display().to_string();
    let output = compared(&words, &["--html", &page]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    fs::read_to_string(page).expect("a page")
}

#[test]
fn the_page_has_a_curve_for_each_server_and_shows_names_as_they_are() {
    let names = ["<b>", "two", "three", "four", "five", "six"];
    let page = page("six", &names);
    assert!(!page.contains("<b>") && page.contains("&lt;b&gt;"), "{page}");
    assert_eq!(page.matches("stroke-width=\"2\"").count(), names.len());
    assert_eq!(page.matches("not differ by more than these runs do").count(), names.len() - 1);
    for (class, name) in [("first", "&lt;b&gt;"), ("sixth", "six")] {
        assert!(page.contains(&format!("<li class=\"{class}\">{name}</li>")), "{class}");
    }
}

#[test]
fn a_browser_renders_the_page_of_a_comparison_wide_and_narrow() {
    let Some(browser) = Browser::find() else {
        return eprintln!("skipped: no browser is installed (Debian's chromium)");
    };
    let names = ["the-server-of-the-main-branch", "the-server-of-another-branch", "others"];
    let page = page("shown", &names);
    let sizes =
        [("wide", 1000, Scheme::Dark), ("half", 760, Scheme::Dark), ("slim", 360, Scheme::Light)];
    for (name, width, scheme) in sizes {
        let seen = browser.show(&format!("compare-{name}"), &page, width, scheme);
        let lines = seen["lines"].as_array().expect("a list");
        assert_eq!(lines.len(), 3, "{seen}");
        for line in lines {
            assert!(line["width"].as_f64() > Some(200.0), "{seen}");
        }
        assert!(seen["scroll"].as_f64() <= seen["width"].as_f64(), "{seen}");
        assert_eq!((&seen["fetched"], &seen["overlaps"]), (&json!(0), &json!([])), "{seen}");
        // A phone scrolls a table; a window shows all of it.
        assert!(width < 760 || seen["cut"] == 0, "{seen}");
    }
}

/// Words for two servers that must get no connection.
fn untouched() -> [String; 2] {
    ["a", "b"].map(|name| format!("{name}={}", unused_address()))
}

#[test]
fn wrong_usage_is_refused_with_a_reason() {
    let servers = untouched();
    let two: Vec<_> = servers.iter().map(String::as_str).collect();
    for (words, reason) in [
        (&[][..], "required arguments were not provided"),
        (&two[..1], "a comparison needs two servers"),
        (&["a=1.json", "b=2.json", "-c", "5"], "--connections is for running servers"),
        (&["a=1.json", "b=2.json", "--runs", "5"], "--runs is for running servers"),
        (&["a=1.json", "b=2.json", "--server-pid", "a=5"], "--server-pid is for running servers"),
        (&[two[0], two[1], "--runs", "0"], "invalid value '0' for '--runs <N>'"),
        (&[two[0], two[1], "--server-pid", "5"], "expected NAME=PID, such as ours=4711"),
        (&[two[0], two[1], "--server-pid", "c=5"], "no server here has the name c"),
        (&[two[0], two[1], "--source", "::1"], "must both be IPv4 or both be IPv6"),
        (&[two[0], two[1], "--hold", "1s", "--rate", "5"], "--hold alone sends no messages"),
        (&[two[0], two[1], "--check"], "unexpected argument '--check'"),
    ] {
        let output = ClientProcess::start(compare(words, &[])).output();
        let stderr = stderr(&output);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{stderr}");
        let error = stderr.lines().take(2).collect::<String>();
        assert!(error.starts_with("error: ") && error.contains(reason), "{words:?}: {stderr}");
    }
}

#[test]
fn outputs_are_opened_before_the_load_and_an_unknown_process_ends_it() {
    let server = Running::echo(config(Framing::Raw));
    let words = |server: SocketAddr| ["a", "b"].map(|name| format!("{name}={server}"));
    let accepted = || server.handle.stats().acceptor.accepted.get();
    for flags in [["--html", "/no/such/page"], ["-o", "/no/such/file"]] {
        let output = compared(&words(server.address), &[&flags[..], &["-n", "1"]].concat());
        let error = format!("error: cannot write to {}: ", flags[1]);
        assert_eq!((output.status.code(), accepted()), (Some(1), 0), "{output:?}");
        assert!(stderr(&output).starts_with(&error), "{output:?}");
    }
    // The second is checked before the first runs, too.
    let pid = ["-n", "1", "--server-pid", &format!("b={},a=2147483647", std::process::id())];
    let output = compared(&words(server.address), &pid);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!((output.status.code(), accepted(), &*text), (Some(1), 0, ""), "{output:?}");
    let error = "error: --server-pid a=2147483647: there is no process 2147483647\n";
    assert_eq!(stderr(&output), error);
}

#[test]
fn variables_are_read_as_flags_are_and_may_be_empty() {
    let server = Running::echo(config(Framing::Raw));
    let words = ["a", "b"].map(|name| format!("{name}={}", server.address));
    let names = variables_of(CLIENT, &["compare"]);
    assert!(names.iter().any(|it| it == "CLIENT_RUNS"), "{names:?}");
    let mut empty = compare(&words, &["-c", "1", "-n", "1", "--runs", "1", "--json"]);
    empty.envs(names.iter().map(|name| (name, "")));
    assert_eq!(ClientProcess::start(empty).report().code, 0);
    let mut set = compare(&words, &["-n", "1"]);
    let pids = format!("b={},a={0}", std::process::id());
    set.envs([("CLIENT_RUNS", "1"), ("CLIENT_CONNECTIONS", "3"), ("CLIENT_JSON", "1")]);
    set.env("CLIENT_SERVER_PID", pids);
    let report = ClientProcess::start(set).report();
    let run = &report.json["servers"][1]["runs"][0];
    assert_eq!((report.code, &run["messages"]), (0, &json!(3)), "{report:?}");
    assert!(run["server"].is_object(), "{run}");
    let mut wrong = compare(&words, &[]);
    wrong.env("CLIENT_SERVER_PID", "5");
    let output = ClientProcess::start(wrong).output();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(stderr(&output).contains("CLIENT_SERVER_PID=\"5\" in the environment"), "{output:?}");
}
