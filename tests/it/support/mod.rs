//! Servers to test, fake servers, and clients.

pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod fake_server;
pub(crate) mod http;
pub(crate) mod members;
pub(crate) mod namespace;
pub(crate) mod pipes;
pub(crate) mod running;
pub(crate) mod screen;
pub(crate) mod server;
pub(crate) mod strace;
pub(crate) mod streams;
pub(crate) mod terminal;
pub(crate) mod wrong_reply;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::free_port::free_port;

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for a fact.
pub(crate) fn eventually(what: &str, mut fact: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !fact() {
        assert!(Instant::now() < until, "timed out: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A file or folder for one test, which removes what an earlier run left there.
pub(crate) fn temporary(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_file(&path);
    let _ = std::fs::remove_dir_all(&path);
    path
}

/// An address that nothing listens on.
pub(crate) fn unused_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port().expect("a port")).into()
}
