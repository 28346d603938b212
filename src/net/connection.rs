//! A non-blocking socket and the bytes that wait to be sent on it.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use crate::net::buffer::Buffer;

/// One end of a connection: the server's or the load client's.
///
/// It holds bytes only while the kernel does not take them. `S` is the socket, or in a
/// test a stand-in for one.
#[derive(Debug)]
pub struct Connection<S = TcpStream> {
    socket: S,
    unsent: Buffer,
    tally: Tally,
}

/// How many bytes are read at once. A buffer smaller than the messages costs a multiple of
/// the calls; a larger one lets one peer keep the others waiting for longer.
pub(crate) const SCRATCH: usize = 64 * 1024;

/// Bytes that went through a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Read from the kernel.
    pub received: u64,
    /// Taken by the kernel.
    pub sent: u64,
}

/// What a read came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// This many bytes.
    Bytes(usize),
    /// The peer has sent its last byte.
    Eof,
    /// Nothing has arrived yet.
    NotYet,
}

impl<S> Connection<S> {
    /// Takes over a socket, which must be non-blocking.
    pub fn new(socket: S) -> Connection<S> {
        let (unsent, tally) = Default::default();
        Connection { socket, unsent, tally }
    }

    /// The socket.
    pub fn socket(&self) -> &S {
        &self.socket
    }

    /// Returns whether bytes wait for the kernel to take them.
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// How many bytes wait for the kernel to take them.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent.len()
    }

    /// The last `count` bytes that were read are thrown away, and are not counted.
    pub(crate) fn uncount_received(&mut self, count: usize) {
        self.tally.received -= count as u64;
    }

    /// How many bytes were read, and how many the kernel took.
    pub fn tally(&self) -> Tally {
        self.tally
    }
}

impl<S: Read + Write> Connection<S> {
    /// Reads once, into `scratch`.
    ///
    /// # Errors
    /// The connection failed. An interrupted or premature read is no error.
    pub fn receive(&mut self, scratch: &mut [u8]) -> io::Result<Received> {
        match self.socket.read(scratch) {
            Ok(0) => Ok(Received::Eof),
            Ok(count) => {
                self.tally.received += count as u64;
                Ok(Received::Bytes(count))
            }
            Err(error) if is_not_yet(&error) => Ok(Received::NotYet),
            Err(error) => Err(error),
        }
    }

    /// Sends bytes behind all that were sent before. What the kernel does not take now is
    /// kept, for the next [`flush`](Connection::flush).
    ///
    /// # Errors
    /// The connection failed.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let taken = if self.has_unsent() { 0 } else { self.write(bytes)? };
        self.unsent.append(&bytes[taken..]);
        Ok(())
    }

    /// Keeps bytes behind all that were sent before, for the next [`flush`](Connection::flush).
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.unsent.append(bytes);
    }

    /// Takes back what was kept.
    pub(crate) fn take_unsent(&mut self) -> Buffer {
        std::mem::take(&mut self.unsent)
    }

    /// Sends what was kept, or as much of it as the kernel takes.
    ///
    /// # Errors
    /// The connection failed.
    pub fn flush(&mut self) -> io::Result<()> {
        let mut unsent = std::mem::take(&mut self.unsent);
        let taken = self.write(unsent.as_slice())?;
        unsent.consume(taken);
        self.unsent = unsent;
        Ok(())
    }

    /// Writes once. A short count means that the kernel's buffer is full, so there is no
    /// second try before epoll reports room.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        match self.socket.write(bytes) {
            Ok(count) => {
                self.tally.sent += count as u64;
                Ok(count)
            }
            Err(error) if is_not_yet(&error) => Ok(0),
            Err(error) => Err(error),
        }
    }
}

/// Epoll is level-triggered, so it reports again what an interrupted call left.
fn is_not_yet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A socket that does what its steps say: takes or gives that many bytes, or none
    /// because it is interrupted or not ready.
    struct ScriptedSocket {
        steps: std::vec::IntoIter<Step>,
        incoming: Vec<u8>,
        outgoing: Vec<u8>,
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Count(usize),
        Fail(io::ErrorKind),
    }

    impl ScriptedSocket {
        /// How much of `wanted` happens now. After the last step, all of it does.
        fn step(&mut self, wanted: usize) -> io::Result<usize> {
            match self.steps.next() {
                Some(Step::Fail(kind)) => Err(kind.into()),
                Some(Step::Count(count)) => Ok(count.min(wanted)),
                None => Ok(wanted),
            }
        }
    }

    impl Read for ScriptedSocket {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.step(buffer.len().min(self.incoming.len()))?;
            buffer[..count].copy_from_slice(&self.incoming[..count]);
            self.incoming.drain(..count);
            Ok(count)
        }
    }

    impl Write for ScriptedSocket {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.step(bytes.len())?;
            self.outgoing.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        prop::collection::vec(
            prop_oneof![
                (1..9usize).prop_map(Step::Count),
                Just(Step::Fail(io::ErrorKind::WouldBlock)),
                Just(Step::Fail(io::ErrorKind::Interrupted)),
            ],
            0..60,
        )
    }

    proptest! {
        #[test]
        fn every_byte_comes_back_however_short_the_counts_are(
            incoming in prop::collection::vec(any::<u8>(), 0..200),
            steps in steps(),
        ) {
            let (steps, outgoing) = (steps.into_iter(), Vec::new());
            let socket = ScriptedSocket { steps, incoming: incoming.clone(), outgoing };
            let mut connection = Connection::new(socket);
            let mut scratch = [0; 16];
            while connection.has_unsent() || !connection.socket.incoming.is_empty() {
                if connection.has_unsent() {
                    connection.flush().expect("no step is fatal");
                } else if let Received::Bytes(count) = connection.receive(&mut scratch).expect("no step is fatal") {
                    // In two parts, the second perhaps behind bytes that wait.
                    let (first, second) = scratch[..count].split_at(count / 2);
                    connection.send(first).expect("no step is fatal");
                    connection.send(second).expect("no step is fatal");
                }
            }
            prop_assert_eq!(&connection.socket.outgoing, &incoming);
            let bytes = incoming.len() as u64;
            prop_assert_eq!(connection.tally(), Tally { received: bytes, sent: bytes });
        }
    }
}
