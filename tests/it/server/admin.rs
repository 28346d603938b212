//! The admin server: metrics, probes, and HTTP itself.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::browser::Browser;
use crate::support::http::{HttpClient, admin_of, metric, wait_for_metric};
use crate::support::server::{SERVER, ServerProcess};
use crate::support::streams::{exchange, fill, read_to_end};
use crate::support::{eventually, temporary};

fn start(flags: &[&str]) -> (ServerProcess, SocketAddr) {
    let server = ServerProcess::start(&[&["--admin", "127.0.0.1:0"], flags].concat());
    let admin = admin_of(&server);
    (server, admin)
}

#[test]
fn metrics_have_the_figures_of_the_server_and_not_of_the_admin_server() {
    let (server, admin) = start(&["-t", "2"]);
    let mut streams: Vec<_> = (0..3).map(|_| server.connect()).collect();
    streams.iter_mut().for_each(|stream| exchange(stream, b"12345"));
    for (name, value) in [
        ("reactor_connections", 3.0),
        ("reactor_accepted_total", 3.0),
        ("reactor_messages_total", 3.0),
        ("reactor_received_bytes_total", 15.0),
        ("reactor_sent_bytes_total", 15.0),
        ("reactor_loop_connections{loop=\"0\"}", 2.0),
        ("reactor_loop_connections{loop=\"1\"}", 1.0),
        ("reactor_loop_messages_total{loop=\"0\"}", 2.0),
        ("reactor_closed_total{reason=\"eof\"}", 0.0),
        ("reactor_draining", 0.0),
    ] {
        // A reply may arrive before it is counted.
        wait_for_metric(admin, name, value);
    }
    drop(streams.pop());
    wait_for_metric(admin, "reactor_closed_total{reason=\"eof\"}", 1.0);
    assert_eq!(metric(admin, "reactor_connections"), 2.0);
    assert!(metric(admin, "process_max_fds") > metric(admin, "process_open_fds"));
    assert!(metric(admin, "process_resident_memory_bytes") > 1e6);
    assert!(metric(admin, "process_cpu_seconds_total") > 0.0);
    assert!(metric(admin, "process_start_time_seconds") > 1.7e9);
    server.wait_for_log("reason=eof");
    let log = server.log();
    assert_eq!(log.matches("new connection").count(), 3, "{log}");
}

#[test]
fn one_turn_in_64_is_timed() {
    let (server, admin) = start(&["-t", "1"]);
    let mut stream = server.connect();
    (0..640).for_each(|_| exchange(&mut stream, b"turn"));
    let timed = metric(admin, "reactor_loop_turn_seconds_count");
    // A turn that finds nothing to do counts too.
    assert!((9.0..64.0).contains(&timed), "{timed}");
    assert_eq!(metric(admin, "reactor_loop_turn_seconds_bucket{le=\"+Inf\"}"), timed);
    assert!(metric(admin, "reactor_loop_turn_seconds_sum") > 0.0);
}

#[test]
fn descriptors_are_those_of_the_process() {
    let (server, admin) = start(&[]);
    let before = metric(admin, "process_open_fds");
    let streams: Vec<_> = (0..50).map(|_| server.connect()).collect();
    wait_for_metric(admin, "reactor_connections", 50.0);
    // The server may still have some connections of those that asked before.
    let added = metric(admin, "process_open_fds") - before;
    assert!((40.0..60.0).contains(&added), "{added}");
    drop(streams);
}

#[test]
fn readiness_fails_as_soon_as_the_drain_begins_and_life_goes_on() {
    let (mut server, admin) = start(&[]);
    let mut client = HttpClient::connect(admin);
    assert_eq!((client.get("/readyz").status, client.get("/livez").status), (200, 200));
    // This connection drains only once its replies are read.
    let mut stream = server.connect();
    fill(&mut stream);
    server.signal(Signal::TERM);
    wait_for_metric(admin, "reactor_draining", 1.0);
    let ready = client.get("/readyz");
    assert_eq!((ready.status, ready.body.as_str()), (503, "draining\n"));
    assert_eq!(client.get("/livez").status, 200);
    read_to_end(&mut stream);
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn requests_on_one_connection_are_answered_in_order() {
    let (_server, admin) = start(&[]);
    let mut client = HttpClient::connect(admin);
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
    client.send([request("/livez"), request("/none"), request("/readyz")].concat().as_bytes());
    let bodies: Vec<_> = (0..3).map(|_| client.read(false)).collect();
    assert_eq!(bodies[0].body, "alive\n");
    assert_eq!(bodies[1].status, 404);
    assert_eq!(bodies[2].body, "ready\n");
    client.send(b"GET /livez HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert!(client.read(false).head.contains("\r\nConnection: close\r\n"));
    client.expect_end();
}

#[test]
fn a_request_may_be_cut_anywhere() {
    let (_server, admin) = start(&[]);
    let mut client = HttpClient::connect(admin);
    let request = b"GET /livez HTTP/1.1\r\nHost: test\r\nAccept: */*\r\n\r\n";
    for cut in 1..request.len() {
        let (first, rest) = request.split_at(cut);
        client.send(first);
        // Most of the time the server has read the first part by then.
        thread::sleep(Duration::from_millis(2));
        client.send(rest);
        assert_eq!(client.read(false).body, "alive\n", "cut at {cut}");
    }
}

#[test]
fn a_head_request_has_the_head_of_the_page_alone() {
    let (_server, admin) = start(&[]);
    let mut client = HttpClient::connect(admin);
    let page = client.get("/");
    assert!(page.body.starts_with("<!doctype html>") && page.status == 200);
    client.send(b"HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
    let head = client.read(true);
    let length = format!("Content-Length: {}\r\n", page.body.len());
    assert!(head.head.contains(&length), "{}", head.head);
    assert_eq!(client.get("/livez").body, "alive\n");
}

#[test]
fn what_is_no_request_ends_its_connection_with_a_status() {
    let (server, admin) = start(&[]);
    for (request, status) in [
        ("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc", 413),
        ("GET / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413),
        ("DELETE / HTTP/1.1\r\nHost: test\r\n\r\n", 405),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("\x16\x03\x01\x02\r\n\r\n", 400),
    ] {
        let mut client = HttpClient::connect(admin);
        client.send(request.as_bytes());
        let response = client.read(false);
        assert_eq!(response.status, status, "{request}");
        assert!(response.head.contains("\r\nConnection: close\r\n"));
        client.expect_end();
    }
    assert!(server.is_alive());
}

#[test]
fn a_request_that_is_too_long_or_too_slow_ends_its_connection() {
    let (server, admin) = start(&[]);
    let mut slow = HttpClient::connect(admin);
    slow.send(b"GET / HTTP/1.1\r\nHost: test\r\n");
    let mut long = HttpClient::connect(admin);
    long.send(&[b"GET / HTTP/1.1\r\nHost: test\r\nA: ", [b'a'; 9000].as_slice()].concat());
    long.expect_end();
    slow.expect_end();
    assert!(server.is_alive());
}

/// Sixteen connections that are kept open would keep probes out for as long as they like.
#[test]
fn where_many_are_open_an_answer_ends_its_connection() {
    let (server, admin) = start(&["-t", "1"]);
    let mut clients: Vec<_> = (0..16).map(|_| HttpClient::connect(admin)).collect();
    server.wait_for_log(" WARN admin: 16 connections are open");
    let closes = |client: &mut HttpClient| {
        let response = client.get("/livez");
        assert_eq!(response.status, 200);
        response.head.contains("\r\nConnection: close\r\n")
    };
    let mut first = clients.pop().expect("a client");
    assert!(closes(&mut first));
    drop(first);
    assert!(closes(&mut HttpClient::connect(admin)), "there is room again");
    clients.truncate(7);
    eventually("few are open", || !closes(&mut HttpClient::connect(admin)));
}

/// Its shortages are not those of the server.
#[test]
fn the_lines_and_threads_of_the_admin_server_have_its_name() {
    let (server, admin) = start(&["-t", "1"]);
    let _clients: Vec<_> = (0..17).map(|_| HttpClient::connect(admin)).collect();
    server.wait_for_log(" WARN admin: 16 connections are open, more have to wait");
    let threads = server.process().tasks().expect("threads").flatten();
    let mut names: Vec<_> = threads.map(|it| it.stat().expect("a name").comm).collect();
    names.retain(|name| name.contains("io-"));
    names.sort_unstable();
    assert_eq!(names, ["admin-io-0", "io-0"]);
}

#[test]
fn an_admin_address_that_cannot_be_used_is_one_clear_error() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = holder.local_addr().expect("an address").to_string();
    for (flag, code, error) in [
        (address.as_str(), 1, format!("error: --admin: cannot listen on {address}: Address alr")),
        ("192.0.2.1:0", 1, "error: --admin: cannot listen on 192.0.2.1:0: Cannot".to_owned()),
        ("127.0.0.1", 2, "error: invalid value '127.0.0.1' for '--admin <ADDR>'".to_owned()),
    ] {
        let output = Command::new(SERVER).args(["127.0.0.1", "0", "--admin", flag]).output();
        let output = output.expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.starts_with(&error) && output.stdout.is_empty(), "{stderr}");
    }
}

#[test]
fn no_line_of_figures_follows_the_summary() {
    for _ in 0..5 {
        let mut server = ServerProcess::start(&["-t", "1", "--stats-interval", "100ms"]);
        server.wait_for_log(" stats connections=");
        server.signal(Signal::TERM);
        assert_eq!(server.exit_code(), Some(0));
        let log = server.log();
        assert!(log.lines().last().is_some_and(|line| line.contains(" summary ")), "{log}");
    }
}

#[test]
fn a_line_of_figures_is_logged_at_an_interval() {
    let server = ServerProcess::start(&["-t", "2", "--stats-interval", "100ms"]);
    let mut stream = server.connect();
    exchange(&mut stream, b"1234567890");
    server.wait_for_log(" stats connections=1 accepts=");
    server.wait_for_log("loop-connections=0..1 loop-messages=0..");
    server.wait_for_log(" stats connections=1 accepts=0/s messages=0/s in=0B/s out=0B/s ");
    let output = Command::new(SERVER).args(["--stats-interval", "5ms"]).output().expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && stderr.contains("at least 100ms"), "{stderr}");
}

/// What a browser of this width and colour scheme makes of the live page while the server has
/// something to do. `None` if there is no browser.
fn live_page(name: &str, width: u32, scheme: &str) -> Option<Value> {
    let browser = Browser::find()?;
    let (server, admin) = start(&["-t", "3"]);
    let folder = temporary(name);
    let mut command = Command::new("python3");
    command.args(["tests/it/support/live_page.py", browser.name()]).arg(folder);
    command.args([&format!("http://{admin}/"), &width.to_string(), scheme]);
    let is_over = &AtomicBool::new(false);
    let output = thread::scope(|scope| {
        scope.spawn(|| {
            let mut stream = server.connect();
            while !is_over.load(Relaxed) {
                exchange(&mut stream, b"busy");
            }
        });
        let output = command.output().expect("python3");
        is_over.store(true, Relaxed);
        output
    });
    assert!(output.status.success(), "{output:?}");
    Some(serde_json::from_slice(&output.stdout).expect("an object"))
}

#[test]
fn the_live_page_moves_has_a_keyboard_outlives_a_server_and_says_nothing_on_the_console() {
    for (name, width, scheme) in [("live-light", 1000, "light"), ("live-dark", 360, "dark")] {
        let Some(page) = live_page(name, width, scheme) else {
            return println!("skipped: there is no Chromium");
        };
        // That the charts moved is what it waited for.
        assert_eq!(page["messages"].as_array().map(Vec::len), Some(0), "{page}");
        assert_eq!((&page["state"], &page["loops"]), (&"Serving.".into(), &3.into()), "{page}");
        assert_eq!(page["focused"], "messages");
        assert!(page["back"].as_str().is_some_and(|it| it.ends_with(" s ago")), "{page}");
        assert!(page["now"].as_str().is_some_and(|it| it.ends_with(" now")), "{page}");
        let gone = "The server does not answer. This page goes on as soon as it does.";
        assert_eq!(page["gone"], gone, "{page}");
        let paper = if scheme == "dark" { "rgb(23, 25, 28)" } else { "rgb(255, 255, 255)" };
        assert_eq!(page["background"], paper, "{page}");
        assert!(page["overflow"].as_i64() <= Some(0), "{page}");
    }
}
