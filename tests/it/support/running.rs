//! A server in this process.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use reactor_server::program::limits::raise_descriptor_limit;
use reactor_server::{Config, Echo, Ending, Framing, Handle, Handler, Server, Stats};

use super::eventually;
use super::streams::connect;

/// A server on a port of its own, stopped when the test ends.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) handle: Handle,
    thread: Option<JoinHandle<io::Result<Ending>>>,
}

impl Running {
    pub(crate) fn start(config: Config, handler: impl Handler) -> Running {
        // All tests share the descriptors of one process.
        raise_descriptor_limit().expect("a limit");
        let server = Server::bind(config, handler).expect("a server");
        let (address, handle) = (server.local_addr(), server.handle());
        Running { address, handle, thread: Some(thread::spawn(|| server.run())) }
    }

    pub(crate) fn echo(config: Config) -> Running {
        Running::start(config, Echo::default())
    }

    /// One that echoes raw bytes over IPv6. Where there is no IPv6 it is `None`, and a note
    /// says so.
    pub(crate) fn echo_over_ipv6() -> Option<Running> {
        let address: SocketAddr = (Ipv6Addr::LOCALHOST, 0).into();
        if TcpListener::bind(address).is_err() {
            eprintln!("skipped: there is no IPv6 here");
            return None;
        }
        Some(Running::echo(Config { address, ..config(Framing::Raw) }))
    }

    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// Waits for the server to end.
    pub(crate) fn ending(&mut self) -> Ending {
        let thread = self.thread.take().expect("this is the first call");
        thread.join().expect("no panic").expect("no error")
    }

    /// Waits until a figure of the server has the value it must reach.
    pub(crate) fn wait_until(&self, what: &str, mut fact: impl FnMut(&Stats) -> bool) {
        eventually(what, || fact(self.handle.stats()));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A small server: two reactors, and defaults for the rest.
pub(crate) fn config(framing: Framing) -> Config {
    Config { io_threads: 2, framing, ..Config::default() }
}
