//! What the admin server of `server` answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::eventually;
use super::server::ServerProcess;
use super::streams::connect;

/// A response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// A connection on which requests follow each other.
#[derive(Debug)]
pub(crate) struct HttpClient(BufReader<TcpStream>);

impl HttpClient {
    pub(crate) fn connect(address: SocketAddr) -> HttpClient {
        HttpClient(BufReader::new(connect(address)))
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).expect("sent");
    }

    /// Reads the next response, to a GET or to a HEAD.
    pub(crate) fn read(&mut self, is_head: bool) -> Response {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.0.read_line(&mut head).expect("a line"), 0, "an end in {head:?}");
        }
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length = length.expect("a length").parse().expect("a number");
        let mut body = vec![0; if is_head { 0 } else { length }];
        self.0.read_exact(&mut body).expect("a body");
        let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
        Response { status, head, body: String::from_utf8(body).expect("text") }
    }

    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
        self.read(false)
    }

    /// Waits for the end of the connection, after which nothing may come.
    pub(crate) fn expect_end(&mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).expect("an orderly end");
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
}

/// Where the admin server of a server that was started with `--admin` listens.
pub(crate) fn admin_of(server: &ServerProcess) -> SocketAddr {
    server.wait_for_log("live page on ");
    let log = server.log();
    let (_, rest) = log.split_once("live page on http://").expect("its address");
    rest.split('/').next().expect("an address").parse().expect("an address")
}

/// The value of a metric, written as in `reactor_loop_connections{loop="0"}`.
pub(crate) fn metric(admin: SocketAddr, name: &str) -> f64 {
    let text = HttpClient::connect(admin).get("/metrics").body;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
}

/// Waits until a metric has this value.
pub(crate) fn wait_for_metric(admin: SocketAddr, name: &str, value: f64) {
    eventually(&format!("{name} is {value}"), || metric(admin, name) == value);
}
