//! Flags do what they say, or are refused with a reason.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::support::client::{
    CLIENT, ClientProcess, client, limited_client, run, run_json, stderr,
};
use crate::support::fake_server::{server, untouched};
use crate::support::running::{Running, config};
use crate::support::server::ServerProcess;
use crate::support::{temporary, unused_address};
use reactor_server::Framing;
use rustix::process::Signal;
use serde_json::Value;

#[test]
fn invalid_flags_are_refused_with_a_reason() {
    let (listener, address) = untouched();
    for (flags, reason) in [
        (&["5", "-c", "5"][..], "CONNECTIONS and --connections are the same"),
        (&["5", "5", "--connect-rate", "5"], "PER_SECOND and --connect-rate are the same"),
        (&["--source", "::1"], "must both be IPv4 or both be IPv6"),
        (&["--source", "127.0.0.2,::1"], "must both be IPv4 or both be IPv6"),
        (&["--source", "127.0.0.2-::1"], "is no range of addresses"),
        (&["--source", "127.0.0.9-127.0.0.2"], "is no range of addresses"),
        (&["--source", "here"], "is no IP address"),
        (&["--hold", "1s", "--rate", "5"], "--hold alone sends no messages"),
        (&["--hold", "1s", "--warmup", "1s"], "--hold alone sends no messages"),
        (&["--hold", "1s", "--reconnect-every", "5"], "--hold alone sends no messages"),
        (&["--hold", "1s", "--think", "1s"], "--hold alone sends no messages"),
        (&["--think", "1s", "--rate", "5"], "--think waits for replies, and --rate does not"),
        (&["--think", "1s", "--pipeline", "2"], "--think waits for each reply"),
        (&["--arrival", "poisson"], "--arrival spreads the messages of a rate: add --rate"),
        (&["--arrival", "uniform"], "--arrival spreads the messages of a rate: add --rate"),
        (&["--arrival", "bursts", "--rate", "5"], "invalid value 'bursts'"),
        (&["--payload", "x", "-s", "1"], "--payload has a size of its own"),
        (&["--payload", ""], "--payload is empty"),
        (&["--payload", r"\q"], r"\q is no escape"),
        (&["--payload", r"a\n", "--framing", "line"], "--payload cannot hold a line break"),
        (&["--payload", "@/no/such/file"], "cannot read /no/such/file for --payload"),
        (&["--payload", "@/"], "cannot read / for --payload"),
        (&["--payload", "@/dev/null"], "--payload @/dev/null is empty"),
        (&["--start-at", "1000000000"], "it passed "),
        (&["--start-at", "tomorrow"], "or a time with its zone such as 2030-01-31T21:00:00Z"),
        (&["--stream", "--rate", "5"], "--stream sends as fast as it can"),
        (&["--stream", "--think", "1s"], "--stream sends as fast as it can"),
        (&["--stream", "--framing", "len32"], "--stream has no messages to frame"),
        (&["--stream", "--verify", "length"], "--stream has no messages with a length"),
        (&["--stream", "-s", "1k..2k"], "--stream has blocks of one --size"),
        (&["--think", "1s,slow"], "\"slow\" is neither fixed nor exp"),
        (&["--think", "1"], "invalid value '1' for '--think <DUR>'"),
        (&["--think", "0s,exp"], "must be more than 0"),
        (&["--reply-prefix", "x"], "add --framing len32 or line"),
        (&["--framing", "line", "--reply-prefix", "x\n"], "cannot hold a line break"),
        (&["--framing", "xml"], "invalid value 'xml'"),
        (&["-c", "0"], "invalid value '0'"),
        (&["-c", "5g"], "invalid value '5g'"),
        (&["-n", "0"], "invalid value '0'"),
        (&["-s", "0"], "must be at least 1"),
        (&["-s", "2g"], "must be at most 1g"),
        (&["-s", "4k..64"], "4096 is more than 64"),
        (&["-s", "64.."], "expected a number"),
        (&["-s", "0..5"], "must be at least 1"),
        (&["--pipeline", "2m"], "must be at most 1m"),
        (&["--threads", "0"], "invalid value '0'"),
        (&["--rate", "0"], "invalid value '0'"),
        (&["-d", "5"], "invalid value '5'"),
        (&["--interval", "99ms"], "must be at least 100ms"),
        (&["--interval", "off"], "invalid value 'off' for '--interval <DUR>'"),
        (&["--percentiles", "101"], "expected a number from 0 to 100"),
        (&["--fail-if", "p99"], "expected a comparison"),
        (&["--fail-if", "speed>1"], "there is no figure"),
        (&["--server-pid", "0"], "invalid value '0'"),
        (&["5", "101m"], "invalid value '101m' for '[PER_SECOND]': must be at most 100m"),
        (&["-n", "-1"], "invalid value '-1' for '--messages <N>'"),
        (&["-5"], "invalid value '-5' for '[CONNECTIONS]'"),
        (&["--hold", "-0.5"], "invalid value '-0.5' for '--hold <DUR>'"),
        (&["-d", "18446744073709551615s1000000000ns"], "must be at most 10 years"),
        (&["--fail-if", "p99>1M"], "M is no unit of time"),
        (&["--what"], "unexpected argument '--what'"),
    ] {
        let output = run(address, flags);
        let stderr = stderr(&output);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{flags:?}");
        let errors: Vec<_> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{flags:?}: {stderr}");
        assert!(errors[0].contains(reason), "{flags:?}: {stderr}");
    }
    assert!(listener.accept().is_err(), "it has connected");
}

#[test]
fn a_misspelled_subcommand_is_recognized() {
    let error = |words: &[&str]| {
        let mut command = Command::new(CLIENT);
        command.args(words).env_remove("CLIENT_PORT");
        let output = ClientProcess::start(command).output();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{output:?}");
        stderr(&output)
    };
    for words in [&["repport"][..], &["repport", "a.json", "--html", "a.html"]] {
        let error = error(words);
        assert!(error.starts_with("error: unrecognized subcommand 'repport'\n"), "{error}");
        assert!(error.contains("tip: a similar subcommand exists: 'report'\n"), "{error}");
        assert!(error.contains("client report [OPTIONS] <FILE>..."), "{error}");
    }
    // These are servers.
    assert!(error(&["localhost"]).starts_with("error: localhost has no port"));
    assert!(error(&["repport:99999"]).contains("'repport:99999'"));
    assert!(!error(&["repport", "9009", "--what"]).contains("subcommand exists"));
}

#[test]
fn the_word_for_the_rate_of_connects_is_read_as_its_flag_is() {
    let (_listener, address) = untouched();
    for flags in [&["5", "100/s"][..], &["-c", "5", "--connect-rate", "100/s"]] {
        let output = run(address, &[flags, &["--check"]].concat());
        assert_eq!(output.status.code(), Some(0), "{flags:?}: {output:?}");
    }
}

#[test]
fn check_reports_what_fits_without_connecting() {
    let (listener, address) = untouched();
    let fits = run(address, &["--check"]);
    assert_eq!(fits.status.code(), Some(0), "{fits:?}");
    let text = String::from_utf8_lossy(&fits.stdout);
    for need in
        ["descriptors of a process", "open files of the machine", "ports x source addresses"]
    {
        let line = text.lines().find(|line| line.starts_with(need));
        assert!(line.is_some_and(|line| line.ends_with("fits")), "{need}: {text}");
    }
    let command = limited_client(address, &["5000", "--check", "--json"]);
    let short = ClientProcess::start(command).report();
    assert_eq!((short.code, &short.json["fits"]), (1, &false.into()));
    let need = &short.json["needs"][0];
    assert_eq!((&need["needed"], &need["available"]), (&5034.into(), &100.into()));
    assert!(need["fix"].as_str().is_some_and(|fix| fix.contains("ulimit -Hn 5034")), "{need}");
    assert!(listener.accept().is_err(), "it has connected");
}

#[test]
fn check_writes_to_the_output_file() {
    let (_listener, address) = untouched();
    let file = temporary("check.json").display().to_string();
    let output = run(address, &["--check", "--json", "-o", &file]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0), "{output:?}");
    let text = std::fs::read(&file).expect("a file");
    assert_eq!(serde_json::from_slice::<Value>(&text).expect("an object")["fits"], true);
    let full = run(address, &["--check", "-o", "/dev/full"]);
    assert_eq!(full.status.code(), Some(1));
    assert!(stderr(&full).starts_with("error: cannot write the results"), "{full:?}");
}

/// A server that keeps the addresses that it is connected from, in order.
fn noting() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let peers = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&peers);
    let address = server(move |_, mut stream| {
        let peer = stream.peer_addr().expect("an address").ip().to_string();
        notes.lock().expect("no panic").push(peer);
        let mut writer = stream.try_clone().expect("a second handle");
        let _ = std::io::copy(&mut stream, &mut writer);
    });
    (address, peers)
}

#[test]
fn connections_use_the_source_addresses_in_turn() {
    let sources = ["--source", "127.0.0.5-127.0.0.7,127.0.0.200"];
    let addresses = ["127.0.0.5", "127.0.0.6", "127.0.0.7", "127.0.0.200"];
    for (threads, each) in [("1", 3), ("3", 3)] {
        let (address, peers) = noting();
        let flags = ["-c", "12", "-n", "2", "--threads", threads];
        assert_eq!(run_json(address, &[&flags[..], &sources].concat()).code, 0);
        let peers = peers.lock().expect("no panic");
        for source in addresses {
            assert_eq!(peers.iter().filter(|&peer| peer == source).count(), each, "{peers:?}");
        }
    }
    let (address, peers) = noting();
    let flags = ["-c", "1", "-n", "8", "--reconnect-every", "1"];
    assert_eq!(run_json(address, &[&flags[..], &sources].concat()).code, 0);
    assert_eq!(*peers.lock().expect("no panic"), addresses.repeat(2));
}

#[test]
fn a_foreign_source_address_is_an_error_that_names_it() {
    let (address, _) = noting();
    let report = run_json(address, &["-c", "4", "-n", "2", "--source", "127.0.0.5,192.0.2.1"]);
    let why = "Cannot assign requested address (os error 99)";
    let what = format!("cannot connect from 192.0.2.1: {why}; it is no address of this machine");
    report.assert_complaints(&[(&what, 2)]);
    assert_eq!(report.json["connections"]["failures"], serde_json::json!({ why: 2 }));
    assert_eq!(report.number("messages"), 4);
}

#[test]
fn ipv6_sources_reach_ipv6_servers_alone() {
    let Some(server) = Running::echo_over_ipv6() else { return };
    assert_eq!(run_json(server.address, &["-n", "2", "--source", "::1"]).code, 0);
    let mixed = run(server.address, &["-n", "2", "--source", "127.0.0.1"]);
    assert_eq!(mixed.status.code(), Some(2));
}

#[test]
fn the_server_cost_is_that_of_its_process() {
    let server = ServerProcess::start(&["-t", "1"]);
    let pid = server.id().to_string();
    // It takes a second, so that a busy client reads the cost while messages count.
    let flags = ["-c", "20", "-n", "500", "--think", "2ms", "--server-pid", &pid];
    let report = run_json(server.address, &flags);
    assert_eq!(report.code, 0);
    let costs = &report.json["server"];
    let total = &costs["cpu_us_per_message"]["total"];
    assert!((0.1..1000.0).contains(&total.as_f64().expect("a number")), "{costs}");
    for key in ["/cpu_us_per_message/user", "/cpu_us_per_message/system"] {
        assert!(costs.pointer(key).is_some_and(Value::is_number), "{key}: {costs}");
    }
    for key in ["own", "kernel"] {
        assert!(costs["bytes_per_connection"][key].is_number(), "{key}: {costs}");
    }
    let text = run(server.address, &["-c", "5", "-n", "10", "--server-pid", &pid]).stdout;
    let text = String::from_utf8(text).expect("a text");
    assert!(text.lines().any(|line| line.starts_with("server    ")), "{text}");
}

#[test]
fn an_unknown_server_process_is_an_error_before_connecting() {
    let (listener, address) = untouched();
    let output = run(address, &["--server-pid", "2147483647"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(stderr(&output).starts_with("error: there is no process 2147483647"), "{output:?}");
    assert_eq!(stderr(&output).lines().count(), 1);
    assert!(listener.accept().is_err(), "it has connected");
}

#[test]
fn the_cost_of_a_dead_server_is_null() {
    let mut server = ServerProcess::start(&["-t", "1"]);
    let pid = server.id().to_string();
    let flags = ["-c", "5", "-n", "5", "--hold", "1h", "--server-pid", &pid, "--json"];
    // Its connections are to another server, so the client continues when this one dies.
    let (address, _) = noting();
    let process = ClientProcess::start(client(address, &flags));
    process.wait_for_stderr("holding 5 connections");
    server.kill();
    process.signal(Signal::USR1);
    let report = process.report();
    assert_eq!((report.code, report.number("messages")), (0, 30), "{report:?}");
    assert_eq!(report.json.get("server"), Some(&Value::Null), "{report:?}");
    assert!(report.stderr.contains("the server's cost is not known: "), "{}", report.stderr);
}

#[test]
fn errors_take_precedence_over_fail_if() {
    let server = Running::echo(config(Framing::Raw));
    let code = |flags: &[&str]| run(server.address, flags).status.code();
    assert_eq!(code(&["-n", "5", "--fail-if", "p99>1h,errors>0"]), Some(0));
    assert_eq!(code(&["-n", "5", "--fail-if", "p99>1h", "--fail-if", "p50>0us"]), Some(3));
    assert_eq!(code(&["-n", "5", "--fail-if", "messages>=150"]), Some(3));
    let output = run(server.address, &["-n", "5", "--fail-if", "messages>=150,failed<1"]);
    for line in ["--fail-if messages>=150 came true: it is 150\n", "--fail-if failed<1 came true"] {
        assert!(stderr(&output).contains(line), "{output:?}");
    }
    assert_eq!(run(unused_address(), &["--fail-if", "failed>0"]).status.code(), Some(1));
}

#[test]
fn progress_is_printed_every_ten_seconds_unless_quiet() {
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-c", "2", "-d", "12s", "--rate", "100", "--json"];
    let plain = ClientProcess::start(client(server.address, &flags));
    let quiet = ClientProcess::start(client(server.address, &[&flags[..], &["-q"]].concat()));
    let (plain, quiet) = (plain.report(), quiet.report());
    assert_eq!((plain.code, quiet.code), (0, 0));
    let lines: Vec<_> = plain.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{}", plain.stderr);
    let fields: Vec<_> = lines[0].trim().split("  ").collect();
    let number = |field: &str, unit| field.strip_suffix(unit).and_then(|it| it.parse::<f64>().ok());
    // A busy machine is late.
    assert!(number(fields[0], " s").is_some_and(|it| (10.0..13.0).contains(&it)), "{fields:?}");
    let rate = number(fields[2], " per second");
    assert!(rate.is_some_and(|it| (80.0..=110.0).contains(&it)), "{fields:?}");
    assert!(fields[3].starts_with("p50 ") && fields[4].starts_with("p99 "), "{fields:?}");
    assert_eq!([fields[1], fields[5]], ["2 connections", "0 errors"]);
    assert_eq!(quiet.stderr, "");
}
