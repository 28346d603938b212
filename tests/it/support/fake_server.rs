//! Servers that do not do what they should.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::splitmix::mix;

/// How messages are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// By their size.
    Raw(usize),
    Len32,
    Line,
}

/// Which message it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The number of its connection, in the order in which they were accepted.
    pub(crate) connection: usize,
    /// Its number among those of its connection.
    pub(crate) number: usize,
    /// Its number among those of all connections.
    pub(crate) index: usize,
}

/// A server that runs `talk` with each connection, in a thread of its own.
pub(crate) fn server(talk: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (address, talk) = (listener.local_addr().expect("an address"), Arc::new(talk));
    thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let talk = Arc::clone(&talk);
            stream.set_nodelay(true).expect("no delay");
            thread::spawn(move || talk(number, stream));
        }
    });
    address
}

/// A listener that must get no connection.
pub(crate) fn untouched() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("non-blocking");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// Echoes `count` messages of 24 bytes, and returns the connection.
pub(crate) fn echo(mut stream: TcpStream, count: usize) -> TcpStream {
    let mut message = [0; 24];
    for _ in 0..count {
        match stream.read_exact(&mut message) {
            Ok(()) => send(&mut stream, &message),
            Err(_) => break,
        }
    }
    stream
}

/// A server that sends `answer(message)` for each message, framing included.
pub(crate) fn answering(
    wire: Wire,
    answer: impl Fn(Place, Vec<u8>) -> Vec<u8> + Send + Sync + 'static,
) -> SocketAddr {
    let count = AtomicUsize::new(0);
    server(move |connection, mut stream| {
        let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
        for number in 0.. {
            let Some(message) = wire.read(&mut reader) else {
                return;
            };
            let index = count.fetch_add(1, Ordering::Relaxed);
            send(&mut stream, &answer(Place { connection, number, index }, message));
        }
    })
}

/// A server that does `respond` with the bytes of each read.
pub(crate) fn responding(
    respond: impl Fn(&mut TcpStream, Vec<u8>) + Send + Sync + 'static,
) -> SocketAddr {
    server(move |_, mut stream| {
        let mut buffer = [0; 4096];
        // It ends with its peer.
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            respond(&mut stream, buffer[..count].to_vec());
        }
    })
}

pub(crate) fn send(stream: &mut TcpStream, bytes: &[u8]) {
    // The client may be gone.
    let _ = stream.write_all(bytes);
}

impl Wire {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Wire::Raw(_) => "raw",
            Wire::Len32 => "len32",
            Wire::Line => "line",
        }
    }

    /// How many bytes of framing come before the message.
    pub(crate) fn head(self) -> usize {
        if self == Wire::Len32 { 4 } else { 0 }
    }

    /// The next message with its framing, or `None` at the end.
    fn read(self, reader: &mut impl BufRead) -> Option<Vec<u8>> {
        let mut message = Vec::new();
        match self {
            Wire::Raw(size) => message.resize(size, 0),
            Wire::Len32 => {
                let mut length = [0; 4];
                reader.read_exact(&mut length).ok()?;
                message.resize(4 + u32::from_le_bytes(length) as usize, 0);
                message[..4].copy_from_slice(&length);
            }
            Wire::Line => {
                reader.read_until(b'\n', &mut message).ok()?;
                return message.ends_with(b"\n").then_some(message);
            }
        }
        reader.read_exact(&mut message[self.head()..]).ok()?;
        Some(message)
    }
}

/// Numbers that are the same in every run.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (mix(self.0) % limit as u64) as usize
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}
