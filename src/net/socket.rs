//! What a server needs of a socket.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::SockRef;

use crate::net::sys;

/// A non-blocking stream socket: the kernel's, or in a test a scripted one.
pub trait Socket: Read + Write + AsFd {
    /// How many bytes arrived and were not read yet.
    fn arrived(&self) -> io::Result<u32>;

    /// How many bytes were written and not acknowledged by the peer yet.
    fn unacknowledged(&self) -> io::Result<u32>;

    /// Sends our FIN: the peer learns that nothing more follows.
    fn send_fin(&self) -> io::Result<()>;

    /// Takes the error that epoll reports.
    fn take_failure(&self) -> io::Error;

    /// Has the kernel reset the connection when it is closed, and throw away what is under
    /// way.
    fn reset(&self);
}

impl Socket for TcpStream {
    fn arrived(&self) -> io::Result<u32> {
        sys::bytes_arrived(self.as_fd())
    }

    fn unacknowledged(&self) -> io::Result<u32> {
        sys::bytes_unacknowledged(self.as_fd())
    }

    fn send_fin(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn take_failure(&self) -> io::Error {
        match self.take_error() {
            Ok(Some(error)) | Err(error) => error,
            Ok(None) => io::ErrorKind::ConnectionReset.into(),
        }
    }

    fn reset(&self) {
        // If it fails the connection is closed already.
        let _ = SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}
