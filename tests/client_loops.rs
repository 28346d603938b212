//! Connections that come and go, and what of the plan each of them has.

mod common;

use common::client::run_json;
use common::{Running, config};
use reactor_server::Framing;

#[test]
fn a_connection_has_so_many_messages_and_then_another_takes_its_place() {
    let server = Running::echo(config(Framing::Raw));
    let flags = ["-c", "5", "-n", "103", "--reconnect-every", "10", "--threads", "2"];
    let (code, result) = run_json(server.address, &flags);
    assert_eq!((code, &result["messages"]), (0, &515.into()));
    // Eleven each: ten with ten messages, and one with the last three.
    assert_eq!(result["connections"]["opened"], 5);
    assert_eq!(result["connections"]["reopened"], 50);
    server.wait_until("all are closed", |stats| stats.closed() == 55);
    assert_eq!(server.handle.stats().acceptor.accepted.get(), 55);
}
