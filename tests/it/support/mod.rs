//! Servers to test, fake servers, and clients.

pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod fake_server;
pub(crate) mod namespace;
pub(crate) mod pipes;
pub(crate) mod running;
pub(crate) mod server;
pub(crate) mod strace;
pub(crate) mod streams;
pub(crate) mod wrong_reply;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

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

/// An address that nothing listens on. The kernel gives its port to no client, which it would
/// connect to itself.
pub(crate) fn unused_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = (std::process::id() % 100) as u16 * 100;
    let port = |_| 20_000 + (spread + NEXT.fetch_add(1, Relaxed)) % 10_000;
    let mut listeners = (0..10_000).map(port).map(|port| TcpListener::bind(("127.0.0.1", port)));
    let listener = listeners.find_map(Result::ok).expect("a port");
    listener.local_addr().expect("an address")
}
