//! A server to test against, and ways to talk to it.

pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod fake_server;
pub(crate) mod server;
pub(crate) mod wrong_reply;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use reactor_server::{Config, Echo, Ending, Framing, Handle, Handler, Server};

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server on a port of its own, stopped when the test ends.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) handle: Handle,
    thread: Option<JoinHandle<io::Result<Ending>>>,
}

impl Running {
    pub(crate) fn start(config: Config, handler: impl Handler) -> Running {
        let server = Server::bind(config, handler).expect("a server");
        let (address, handle) = (server.local_addr(), server.handle());
        Running { address, handle, thread: Some(thread::spawn(|| server.run())) }
    }

    pub(crate) fn echo(config: Config) -> Running {
        Running::start(config, Echo::default())
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        stream
    }

    /// Waits for the server to end.
    pub(crate) fn ending(&mut self) -> Ending {
        let thread = self.thread.take().expect("it was not waited for yet");
        thread.join().expect("no panic").expect("no error")
    }

    /// Waits until a figure of the server is what it should become.
    pub(crate) fn wait_until(&self, what: &str, mut fact: impl FnMut(&reactor_server::Stats) -> bool) {
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

/// A small server: two reactors, and as few figures to think of as possible.
pub(crate) fn config(framing: Framing) -> Config {
    Config { io_threads: 2, framing, ..Config::default() }
}

/// Waits for a fact.
pub(crate) fn eventually(what: &str, mut fact: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !fact() {
        assert!(Instant::now() < until, "in vain: {what}");
        thread::yield_now();
    }
}

/// A `len32` frame.
pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as u32).to_le_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

/// Reads one `len32` frame.
pub(crate) fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("a length");
    let mut body = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut body).expect("a body");
    body
}

/// Reads to the end of the stream, which must come in order.
pub(crate) fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("an orderly end");
    all
}

/// Sends the bytes from a thread of its own and returns all that comes back.
pub(crate) fn round_trip(mut stream: TcpStream, bytes: Vec<u8>) -> Vec<u8> {
    let mut writer = stream.try_clone().expect("a second handle");
    let sender = thread::spawn(move || {
        writer.write_all(&bytes).expect("all is sent");
        writer.shutdown(std::net::Shutdown::Write).expect("a half-close");
    });
    let all = read_to_end(&mut stream);
    sender.join().expect("it sent all");
    all
}

/// Bytes without a pattern that a shift or a swap would leave as they are.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(byte).take(length).collect()
}

/// Sends until the server takes no more, and returns how much it took.
pub(crate) fn fill(stream: &mut TcpStream) -> usize {
    stream.set_nonblocking(true).expect("non-blocking");
    let (chunk, mut sent) = (noise(1 << 20), 0);
    let mut full = 0;
    // Full for a while on end, because what is under way may still make room.
    while full < 50 {
        match stream.write(&chunk[sent % chunk.len()..]) {
            Ok(count) => (sent, full) = (sent + count, 0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                full += 1;
                thread::sleep(Duration::from_millis(2));
            }
            Err(error) => panic!("{error}"),
        }
        assert!(sent < 1 << 30, "the server holds whatever it is sent");
    }
    stream.set_nonblocking(false).expect("blocking");
    sent
}
