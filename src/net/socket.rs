//! What a connection of the server stands on.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::SockRef;

use crate::net::sys;

/// A non-blocking stream socket: the kernel's, or a script of one in a test.
pub(crate) trait Socket: Read + Write + AsFd {
    /// How many bytes have arrived and were not read yet.
    fn arrived(&self) -> io::Result<u32>;

    /// How many bytes were written and not acknowledged by the peer yet.
    fn unacknowledged(&self) -> io::Result<u32>;

    /// Tells the peer that nothing more will be sent.
    fn finish(&self) -> io::Result<()>;

    /// Why epoll says that the connection has failed.
    fn failure(&self) -> io::Error;

    /// Has the kernel throw away what is under way, and tell the peer, on closing.
    fn reset(&self);
}

impl Socket for TcpStream {
    fn arrived(&self) -> io::Result<u32> {
        sys::bytes_arrived(self.as_fd())
    }

    fn unacknowledged(&self) -> io::Result<u32> {
        sys::bytes_unacknowledged(self.as_fd())
    }

    fn finish(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn failure(&self) -> io::Error {
        match self.take_error() {
            Ok(Some(error)) | Err(error) => error,
            Ok(None) => io::ErrorKind::ConnectionReset.into(),
        }
    }

    fn reset(&self) {
        // Where it fails the connection is gone already.
        let _ = SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}
