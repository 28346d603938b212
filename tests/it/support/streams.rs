//! What tests send, and how they read it back.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use super::PATIENCE;
use crate::splitmix::mix;

/// A connection whose calls fail instead of blocking forever.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    stream
}

/// A `len32` frame.
pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_le_bytes(), body].concat()
}

/// Reads one `len32` frame.
pub(crate) fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("a length");
    let mut body = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut body).expect("a body");
    body
}

/// Sends a message, and reads its reply.
pub(crate) fn exchange(stream: &mut TcpStream, message: &[u8]) {
    stream.write_all(message).expect("sent");
    let mut reply = vec![0; message.len()];
    stream.read_exact(&mut reply).expect("a reply");
    assert_eq!(reply, message);
}

/// Reads to the end of the stream, which must be a FIN.
pub(crate) fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("an orderly end");
    all
}

/// Sends the bytes and a FIN from another thread, and returns everything that comes back.
pub(crate) fn round_trip(mut stream: TcpStream, bytes: Vec<u8>) -> Vec<u8> {
    let mut writer = stream.try_clone().expect("a second handle");
    let sender = thread::spawn(move || {
        writer.write_all(&bytes).expect("all is sent");
        writer.shutdown(Shutdown::Write).expect("a half-close");
    });
    let all = read_to_end(&mut stream);
    sender.join().expect("it sent all");
    all
}

/// Closes with a RST.
pub(crate) fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
}

/// Bytes without a pattern that a shift or a swap would leave unchanged.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut noise = Vec::with_capacity(length + 8);
    while noise.len() < length {
        noise.extend_from_slice(&mix(noise.len() as u64 + 1).to_le_bytes());
    }
    noise.truncate(length);
    noise
}

/// Sends noise, one mebibyte of it over and over, until the server takes no more.
/// Returns how many bytes it took.
pub(crate) fn fill(stream: &mut TcpStream) -> usize {
    stream.set_nonblocking(true).expect("non-blocking");
    let (chunk, mut sent) = (noise(1 << 20), 0);
    let mut full = 0;
    // Bytes in flight may still make room, so it must stay full for a while.
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

/// Reads exactly these bytes.
pub(crate) fn expect(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) {
    let bytes = bytes.as_ref();
    let mut arrived = vec![0; bytes.len()];
    stream.read_exact(&mut arrived).expect("it arrives");
    assert_eq!(String::from_utf8_lossy(&arrived), String::from_utf8_lossy(bytes));
}
