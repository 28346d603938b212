//! `client log` shows what a server's log says of its connections and threads.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::thread;

use serde_json::{Value, json};

use crate::support::client::{CLIENT, ClientProcess, run, stderr};
use crate::support::server::ServerProcess;
use crate::support::temporary;
use rustix::process::Signal;

fn log(files: &[&str], flags: &[&str]) -> Output {
    let mut command = Command::new(CLIENT);
    command.arg("log").args(files).args(flags);
    ClientProcess::start(command).output()
}

/// The figures of logs that have connections.
fn figures(files: &[&str], flags: &[&str]) -> Value {
    let output = log(files, &[flags, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("an object")
}

fn written(name: &str, log: impl AsRef<[u8]>) -> String {
    let path = temporary(&format!("log-{name}")).display().to_string();
    fs::write(&path, log).expect("a file");
    path
}

/// The lines of a connection: at these seconds it is opened and closed.
fn lines(fd: u32, port: u16, times: [u32; 2], thread: u32, messages: u64) -> [String; 2] {
    let time = |at: u32| format!("2026-11-26 23:{:02}:{:02}.250", at / 60, at % 60);
    let (connection, open) = (format!("fd={fd},ip=127.0.0.1,port={port}"), times[1] - times[0]);
    let bytes = 24 * messages;
    [
        format!("{} new connection {connection}, thread id is 1.\n", time(times[0])),
        format!(
            "{} connection close {connection} is {thread}. open={open}.000s messages={messages} \
             in={bytes}B out={bytes}B reason=eof\n",
            time(times[1])
        ),
    ]
}

#[test]
fn the_log_of_a_server_has_the_figures_of_its_load() {
    let mut server = ServerProcess::start(&["-t", "2"]);
    for flags in [["-c", "5", "-n", "40"], ["-c", "1", "-n", "7"]] {
        assert!(run(server.address, &flags).status.success());
    }
    // A probe: it has no message.
    drop(server.connect());
    server.wait_for_log("messages=0 ");
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
    let text = server.log();
    let json = figures(&[&server.log.display().to_string()], &[]);
    let expected = json!({
        "opened": 7, "closed": 7, "unused": 1, "never_opened": 0, "never_closed": 0,
        "still_open": 0,
    });
    assert_eq!((&json["connections"], &json["messages"]), (&expected, &json!(207)), "{text}");
    assert_eq!((&json["bytes_received"], &json["bytes_sent"]), (&json!(4968), &json!(4968)));
    assert_eq!(json["reasons"]["eof"], 7, "{json}");
    assert_eq!(json["lines"].as_u64(), Some(text.lines().count() as u64));
    assert_eq!(json["lines"].as_u64(), json["skipped"].as_u64().map(|it| it + 14));
    // As scripts/btest/log.awk has it: the first and the last of these lines.
    let time = |line: Option<&str>| line.map(|it| it[..23].to_owned());
    let first = time(text.lines().find(|it| it.contains(" new connection ")));
    let mut closes = text.lines().filter(|it| it.contains(" connection close "));
    let last = time(closes.rfind(|it| !it.contains(" messages=0 ")));
    assert_eq!(json["first_connect"].as_str(), first.as_deref());
    assert_eq!(json["last_close"].as_str(), last.as_deref());
    let threads = json["threads"].as_array().expect("a list");
    let sum = |key: &str| threads.iter().filter_map(|it| it[key].as_u64()).sum::<u64>();
    assert_eq!((threads.len(), sum("connections"), sum("messages")), (2, 6, 207), "{json}");
}

#[test]
fn times_are_from_the_first_connect_to_the_last_close_of_those_with_messages() {
    let connections = [
        lines(9, 1, [0, 1], 4, 0),
        lines(9, 2, [10, 40], 5, 600),
        lines(10, 3, [12, 70], 6, 300),
        lines(11, 4, [71, 75], 6, 0),
    ];
    let file = written("times", connections.concat().concat());
    let json = figures(&[&file], &[]);
    assert_eq!(json["first_connect"], "2026-11-26 23:00:10.250");
    assert_eq!(json["last_close"], "2026-11-26 23:01:10.250");
    assert_eq!((&json["seconds"], &json["rate"]), (&json!(60.0), &json!(15.0)));
    let open = &json["open_seconds"];
    let extreme = |peer: &str, thread, seconds: f64| json!({ "peer": peer, "thread": thread, "seconds": seconds });
    assert_eq!(open["fastest"], extreme("127.0.0.1:2", 5, 30.0));
    assert_eq!(open["slowest"], extreme("127.0.0.1:3", 6, 58.0));
    // The histogram has three digits.
    assert!((30.0..30.1).contains(&open["p50"].as_f64().expect("a number")), "{open}");
    assert_eq!(open["p99"], 58.0);
    let rates: Vec<_> = json["threads"].as_array().expect("a list").iter().collect();
    assert_eq!((&rates[0]["rate"], &rates[1]["rate"]), (&json!(10.0), &json!(5.0)));
    let text = String::from_utf8(log(&[&file], &[]).stdout).expect("a text");
    for line in [
        "connections    4 opened, 4 closed, 2 without a message (in no figure below)\n",
        "\ntime between   60.000 s\n",
        "\nmessages       900, 15.0 per second\n",
        "\nopen for       fastest    30.0 s  127.0.0.1:2, thread 5\n",
        "\nthreads        2 had messages\n",
        "\n                      5            1            600         10.0\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn lines_of_the_original_program_are_read_and_the_number_of_messages_may_be_given() {
    let file = written(
        "original",
        "2024-05-04 21:45:21 new connection fd=37,ip=127.0.0.1,port=51178, thread id is 2548.\n\
         2024-05-04 21:45:21 new connection fd=43,ip=127.0.0.1,port=51190, thread id is 2548.\n\
         2024-05-04 21:45:28 connection close fd=43,ip=127.0.0.1,port=51190 is 2553.\n\
         2024-05-04 21:45:31 connection close fd=37,ip=127.0.0.1,port=51178 is 2552.\n",
    );
    let json = figures(&[&file], &[]);
    assert_eq!((&json["seconds"], &json["messages"]), (&json!(10.0), &Value::Null));
    assert_eq!(json["open_seconds"]["fastest"]["seconds"], 7.0);
    assert_eq!(json["bytes_sent"], Value::Null);
    let json = figures(&[&file], &["--messages", "100k"]);
    assert_eq!((&json["messages"], &json["rate"]), (&json!(200_000), &json!(20_000.0)));
    let text = String::from_utf8(log(&[&file], &[]).stdout).expect("a text");
    assert!(text.contains("messages       unknown"), "{text}");
}

#[test]
fn rotated_logs_are_read_in_the_order_of_their_times() {
    let (one, other) = (lines(9, 1, [0, 30], 5, 10), lines(10, 2, [20, 50], 5, 10));
    let early = written("server.log.1", format!("no time\n{}{}", one[0], other[0]));
    let late = written("server.log", format!("{}{}", one[1], other[1]));
    let all = figures(&[&late, &early], &[]);
    assert_eq!((&all["seconds"], &all["messages"]), (&json!(50.0), &json!(20)), "{all}");
    assert_eq!(all["connections"]["never_opened"], 0, "{all}");
    assert_eq!((&all["lines"], &all["skipped"]), (&json!(5), &json!(1)));
    let mut command = Command::new(CLIENT);
    command.args(["log", &late, "-", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("a process");
    let mut input = child.stdin.take().expect("a pipe");
    let text = fs::read(&early).expect("a file");
    let writer = thread::spawn(move || input.write_all(&text));
    let output = child.wait_with_output().expect("its end");
    writer.join().expect("no panic").expect("it reads all");
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).expect("an object"), all);
}

#[test]
fn a_log_that_begins_late_or_ends_early_says_so() {
    let (cut, whole) = (lines(9, 1, [0, 30], 5, 10), lines(9, 2, [40, 50], 5, 10));
    let open = lines(9, 3, [55, 56], 5, 10);
    let file = written("cut", format!("{}{}{}", cut[1], whole.concat(), open[0]));
    let json = figures(&[&file], &[]);
    let connections = &json["connections"];
    assert_eq!(
        (&connections["never_opened"], &connections["still_open"], &json["messages"]),
        (&json!(1), &json!(1), &json!(20))
    );
    // Its close line says for how long it was open.
    assert_eq!(
        (&json["first_connect"], &json["seconds"]),
        (&"2026-11-26 23:00:00.250".into(), &json!(50.0))
    );
    let text = String::from_utf8(log(&[&file], &[]).stdout).expect("a text");
    for part in ["2 opened, 2 closed, 1 still open", "1 connection has no connect line"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // A server that is started again has none of the connections of one that was killed.
    let again = "2026-11-26 23:01:00.000 listening on 127.0.0.1:9009 io-threads=2\n";
    let lost = "2026-11-26 23:01:01.000 WARN 12 log lines were dropped\n";
    let next = lines(9, 4, [62, 63], 5, 10).concat();
    let file = written("killed", format!("{}{again}{lost}{next}", open[0]));
    let json = figures(&[&file], &[]);
    assert_eq!((&json["connections"]["never_closed"], &json["dropped"]), (&json!(1), &json!(12)));
    assert_eq!(json["connections"]["still_open"], 0);
}

#[test]
fn lines_that_are_no_event_are_skipped_and_counted() {
    let connection = lines(9, 1, [0, 30], 5, 10);
    let long = format!("{}\n", "x".repeat(100_000));
    let mut text = format!("hello\n{long}{}\n", connection[0]).into_bytes();
    text.extend_from_slice(b"\xff\xfe\x00\n");
    // It ends without a line break.
    text.extend_from_slice(connection[1].trim_end().as_bytes());
    let json = figures(&[&written("others", text)], &[]);
    assert_eq!((&json["lines"], &json["skipped"]), (&json!(6), &json!(4)), "{json}");
    assert_eq!((&json["messages"], &json["seconds"]), (&json!(10), &json!(30.0)));
}

#[test]
fn logs_of_several_servers_are_noted() {
    let (one, other) = (lines(9, 1, [0, 30], 5, 10), lines(9, 2, [1, 10], 5, 10));
    let files = [written("one", one.concat()), written("two", other.concat())];
    let text = log(&[&files[0], &files[1]], &[]).stdout;
    let text = String::from_utf8(text).expect("a text");
    assert!(text.contains("2 lines are earlier than one before them"), "{text}");
}

#[test]
fn a_log_without_connections_is_an_error() {
    let other = written("none", "2026-11-26 23:01:00.000 listening on 127.0.0.1:9009\n");
    for (file, reason) in [
        (&other[..], "no line is a connect or close line of a server's log (1 line)"),
        ("/dev/null", "no line is a connect or close line of a server's log (0 lines)"),
        ("/no/such/file", "cannot read /no/such/file: No such file"),
        ("/", "cannot read /: Is a directory"),
    ] {
        let output = log(&[file], &[]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{file}");
        let is_told = stderr(&output).starts_with(&format!("error: {reason}"));
        assert!(is_told && stderr(&output).lines().count() == 1, "{output:?}");
    }
    assert_eq!(log(&[], &[]).status.code(), Some(2));
}
