//! The examples, as processes: each serves, and drains at a signal.
//!
//! `cargo test` builds them. With `--test it` alone they are those of the last
//! `cargo build --examples`.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use rustix::process::Signal;

use crate::support::eventually;
use crate::support::server::{SERVER, ServerProcess, new_log};
use crate::support::streams::{expect, noise, read_to_end, round_trip};

/// The examples that answer two lines with the same at any time, and their answer.
const EXAMPLES: [(&str, &str); 6] = [
    ("blocking", "a\nbc\n"),
    ("count", "line 1 has 1 bytes\nline 2 has 2 bytes\n"),
    (
        "kv",
        "ERROR expected GET k, SET k v, DEL k or QUIT\nERROR expected GET k, SET k v, DEL k or QUIT\n",
    ),
    ("one_loop", "a\nbc\n"),
    ("two_loops", "a\nbc\n"),
    ("upper", "A\nBC\n"),
];
const LINES: &[u8] = b"a\nbc\n";

fn start(name: &str) -> ServerProcess {
    let path = Path::new(SERVER).with_file_name("examples").join(name);
    assert!(path.exists(), "{} is not built: cargo build --examples", path.display());
    let mut command = Command::new(path);
    command.args(["127.0.0.1", "0"]);
    ServerProcess::spawn(command, new_log())
}

#[test]
fn each_example_answers_what_arrived_and_exits_with_0_at_a_signal() {
    for (name, answer) in EXAMPLES {
        for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
            let mut server = start(name);
            let mut stream = server.connect();
            stream.write_all(LINES).expect("sent");
            server.signal(signal);
            assert_eq!(read_to_end(&mut stream), answer.as_bytes(), "{name} {signal:?}");
            drop(stream);
            assert_eq!(server.exit_code(), Some(0), "{name} {signal:?}");
        }
    }
}

#[test]
fn each_example_answers_many_at_once() {
    for (name, answer) in EXAMPLES {
        let server = start(name);
        let streams: Vec<_> = (0..8).map(|_| server.connect()).collect();
        for mut stream in &streams {
            stream.write_all(LINES).expect("sent");
        }
        for stream in streams {
            assert_eq!(round_trip(stream, Vec::new()), answer.as_bytes(), "{name}");
        }
    }
}

#[test]
fn the_single_threaded_examples_send_back_every_byte_to_a_peer_that_reads_late() {
    for name in ["one_loop", "two_loops"] {
        let server = start(name);
        let bytes = noise(8 * 1024 * 1024);
        assert!(round_trip(server.connect(), bytes.clone()) == bytes, "{name}");
    }
}

#[test]
fn a_single_threaded_example_drains_although_its_peer_goes_on_sending() {
    for name in ["one_loop", "two_loops"] {
        let mut server = start(name);
        let mut stream = server.connect();
        let mut writer = stream.try_clone().expect("a second handle");
        // Until the connection is shut down.
        let lines = LINES.repeat(100_000);
        let sender = thread::spawn(move || while writer.write_all(&lines).is_ok() {});
        stream.read_exact(&mut [0; LINES.len()]).expect("an echo");
        server.signal(Signal::TERM);
        let echoed = read_to_end(&mut stream);
        assert!(echoed.chunks(LINES.len()).all(|chunk| LINES.starts_with(chunk)), "{name}");
        stream.shutdown(Shutdown::Both).expect("a connection");
        sender.join().expect("no panic");
        assert_eq!(server.exit_code(), Some(0), "{name}");
    }
}

#[test]
fn a_second_signal_does_not_wait_for_a_handler_that_blocks() {
    let mut server = start("blocking");
    let mut stream = server.connect();
    // The answers to all of them would take a minute.
    stream.write_all(&LINES.repeat(300)).expect("sent");
    server.signal(Signal::TERM);
    let is_refused = || matches!(TcpStream::connect(server.address), Err(error) if error.kind() == ErrorKind::ConnectionRefused);
    eventually("it drains", is_refused);
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(1));
}

#[test]
fn an_example_without_an_address_says_what_it_needs() {
    for name in EXAMPLES.map(|(name, _)| name).into_iter().chain(["chat"]) {
        let path = Path::new(SERVER).with_file_name("examples").join(name);
        let output = Command::new(path).output().expect("a process");
        let usage = format!("usage: {name} IP PORT");
        assert!(String::from_utf8_lossy(&output.stderr).contains(&usage), "{name}");
        assert_eq!(output.status.code(), Some(1), "{name}");
    }
}

fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).expect("sent");
}

/// A connection to a chat, which is greeted with this name.
fn join(chat: &ServerProcess, name: &str) -> TcpStream {
    let mut member = chat.connect();
    expect(&mut member, format!("welcome, {name}; /quit leaves\n"));
    member
}

#[test]
fn a_chat_tells_all_others_each_line_and_which_members_join_and_leave() {
    let chat = start("chat");
    let mut one = join(&chat, "guest1");
    let mut two = join(&chat, "guest2");
    let mut three = join(&chat, "guest3");
    expect(&mut one, "guest2 joined\nguest3 joined\n");
    expect(&mut two, "guest3 joined\n");
    // Both kinds of line end.
    say(&mut one, "hello\nhow are you?\r\n");
    for other in [&mut two, &mut three] {
        expect(other, "guest1: hello\nguest1: how are you?\n");
    }
    say(&mut two, "fine\n/quit\nnever said\n");
    expect(&mut one, "guest2: fine\nguest2 left\n");
    expect(&mut three, "guest2: fine\nguest2 left\n");
    assert_eq!(read_to_end(&mut two), b"bye\n");
    drop(three);
    expect(&mut one, "guest3 left\n");
}

#[test]
fn a_chat_drops_a_member_that_does_not_read_and_the_others_miss_nothing() {
    let chat = start("chat");
    let mut speaker = join(&chat, "guest1");
    let reader = join(&chat, "guest2");
    let mut stuck = join(&chat, "guest3");
    expect(&mut speaker, "guest2 joined\nguest3 joined\n");
    let mut lines = BufReader::new(reader).lines().map(|line| line.expect("it is not dropped"));
    assert_eq!(lines.next().as_deref(), Some("guest3 joined"));
    let (mut said, mut is_told) = (0, false);
    while !is_told {
        assert!(said < 10_000, "the kernel takes no 30 MB");
        let line = format!("{said} {}", "x".repeat(3000));
        say(&mut speaker, &format!("{line}\n"));
        let mut heard = lines.next().expect("a line");
        if heard == "guest3 left" {
            is_told = true;
            heard = lines.next().expect("a line");
        }
        assert_eq!(heard, format!("guest1: {line}"));
        said += 1;
    }
    expect(&mut speaker, "guest3 left\n");
    let error = stuck.read_to_end(&mut Vec::new()).expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_chat_that_drains_at_a_signal_tells_its_member_which_lines_are_not_sent() {
    let mut chat = start("chat");
    let mut speaker = join(&chat, "guest1");
    let mut listener = join(&chat, "guest2");
    expect(&mut speaker, "guest2 joined\n");
    let said = 20_000;
    say(&mut speaker, &"x\n".repeat(said));
    expect(&mut listener, "guest1: x\n");
    chat.signal(Signal::TERM);
    let heard = read_to_end(&mut listener).len() / "guest1: x\n".len() + 1;
    let told = String::from_utf8(read_to_end(&mut speaker)).expect("text");
    let refused = told.lines().filter(|line| line.starts_with("not sent: ")).count();
    // The drain may overtake one line, that which is sent at the very same time.
    assert!(heard + refused + 1 >= said, "{heard} lines were heard, and {refused} refused");
    drop((speaker, listener));
    assert_eq!(chat.exit_code(), Some(0));
}

#[test]
fn a_key_value_store_answers_all_connections_from_the_same_values() {
    let store = start("kv");
    let (mut one, mut two) = (store.connect(), store.connect());
    say(&mut one, "GET color\nSET color dark red\nGET color\r\n");
    expect(&mut one, "NOT FOUND\nOK\nVALUE dark red\n");
    say(&mut two, "get color\nset color \nGET color\nDEL color\nDEL color\n");
    expect(&mut two, "VALUE dark red\nOK\nVALUE \nOK\nNOT FOUND\n");
    say(&mut one, "GET color\nQUIT\nGET color\n");
    assert_eq!(read_to_end(&mut one), b"NOT FOUND\nBYE\n");
}

#[test]
fn a_key_value_store_refuses_what_it_cannot_do_and_goes_on() {
    let store = start("kv");
    let mut stream = store.connect();
    for wrong in ["", "GET", "GET a b", "SET a", "DEL", "DEL a b", "QUIT now", "PUT a b"] {
        say(&mut stream, &format!("{wrong}\n"));
        expect(&mut stream, "ERROR expected GET k, SET k v, DEL k or QUIT\n");
    }
    let (key, value) = ("k".repeat(250), "v".repeat(1000));
    say(&mut stream, &format!("SET {key}k v\nSET  v\nSET k {value}v\nSET {key} {value}\r\n"));
    expect(&mut stream, "ERROR a key has 1 to 250 bytes\n".repeat(2));
    expect(&mut stream, "ERROR a value has at most 1000 bytes\nOK\n");
    say(&mut stream, &format!("GET {key}\n"));
    expect(&mut stream, format!("VALUE {value}\n"));
    // A line that no right command needs ends the connection.
    say(&mut stream, &format!("SET {key}k {value}\r\nGET k\n"));
    assert_eq!(read_to_end(&mut stream), b"");
}

#[test]
fn a_full_key_value_store_takes_no_new_key_and_changes_those_it_has() {
    let store = start("kv");
    let lines: String = (0..=100_000).map(|key| format!("SET {key} v\n")).collect();
    let answers = round_trip(store.connect(), lines.into_bytes());
    let full = "ERROR the store is full: it has 100000 keys\n";
    assert!(answers == ("OK\n".repeat(100_000) + full).into_bytes());
    let after = round_trip(store.connect(), b"SET 7 new\nGET 7\nDEL 8\nSET new 1\n".to_vec());
    assert_eq!(String::from_utf8_lossy(&after), "OK\nVALUE new\nOK\nOK\n");
}
