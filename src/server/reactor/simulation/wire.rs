//! A scripted socket, and the wire between it and a client.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::rng::Rng;
use crate::net::clock::scripted::now;
use crate::net::socket::Socket;
use crate::net::sys;

/// What the kernel would know of a connection.
#[derive(Debug)]
pub(super) struct Wire {
    rng: Rng,
    faults: Faults,
    /// Sent by the client, and not read by the server.
    pub(super) arrived: VecDeque<u8>,
    /// Written by the server, and not taken by the client.
    pub(super) in_flight: VecDeque<u8>,
    /// How many bytes may be in flight.
    room: usize,
    /// The client sent its FIN.
    pub(super) client_finished: bool,
    /// The client closed: if it is sent anything it resets.
    pub(super) client_gone: bool,
    pub(super) client_reset: bool,
    /// A call failed for good, with this errno.
    pub(super) failed: Option<i32>,
    pub(super) server_finished: Option<Finish>,
    pub(super) sent: usize,
    /// When the client last sent or took something.
    last_sign: Instant,
    pub(super) read: u64,
    pub(super) written: u64,
    /// The server's FIN has not arrived yet.
    fin_in_flight: bool,
    reset_on_close: bool,
    pub(super) closed: bool,
    /// The server closed in a way that lost what was in flight.
    pub(super) cut: bool,
    pub(super) in_flight_at_close: usize,
    pub(super) last_taken: Instant,
    /// What the server did that no server may do.
    pub(super) violation: Option<&'static str>,
}

/// The state of the wire when the server sent its FIN.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finish {
    pub(super) at: Instant,
    /// Bytes that the client had sent.
    pub(super) sent: usize,
    /// How many of them were not read.
    pub(super) unread: usize,
    /// How long the client had neither sent nor taken anything.
    pub(super) silence: Duration,
}

/// How often calls go wrong, in times per thousand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Faults {
    pub(super) short: usize,
    pub(super) not_yet: usize,
    pub(super) fatal: usize,
    /// Epoll does not watch the socket at all.
    pub(super) unwatched: bool,
}

/// The errors that may end a connection from one call to the next.
const FATAL: &[i32] = &[
    libc::ECONNRESET,
    libc::EPIPE,
    libc::ETIMEDOUT,
    libc::EHOSTUNREACH,
    libc::ENETUNREACH,
    libc::ENETDOWN,
    libc::ENOTCONN,
    libc::ENOBUFS,
    libc::ENOMEM,
    libc::EACCES,
    libc::EPERM,
    libc::EIO,
];

impl Wire {
    pub(super) fn new(rng: Rng, faults: Faults, room: usize) -> Rc<RefCell<Wire>> {
        Rc::new(RefCell::new(Wire {
            rng,
            faults,
            room,
            arrived: VecDeque::new(),
            in_flight: VecDeque::new(),
            client_finished: false,
            client_gone: false,
            client_reset: false,
            failed: None,
            server_finished: None,
            sent: 0,
            last_sign: now(),
            read: 0,
            written: 0,
            fin_in_flight: false,
            reset_on_close: false,
            closed: false,
            cut: false,
            in_flight_at_close: 0,
            last_taken: now(),
            violation: None,
        }))
    }

    /// What epoll would report.
    pub(super) fn ready(&self) -> libc::c_int {
        let broken = self.client_reset || self.failed.is_some();
        let told = |fact: bool, event: libc::c_int| if fact { event } else { 0 };
        told(broken || self.client_finished || !self.arrived.is_empty(), libc::EPOLLIN)
            | told(broken || self.in_flight.len() < self.room, libc::EPOLLOUT)
            | told(self.client_reset, libc::EPOLLERR)
            | told(broken || self.client_finished && self.server_finished.is_some(), libc::EPOLLHUP)
    }

    pub(super) fn is_unwatched(&self) -> bool {
        self.faults.unwatched
    }

    /// The client sends something.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.arrived.extend(bytes);
        self.sent += bytes.len();
        self.last_sign = now();
    }

    /// The client takes at most `most` bytes.
    pub(super) fn take(&mut self, most: usize) -> Vec<u8> {
        // The client's kernel has it, whether the client reads or not.
        self.fin_in_flight = false;
        let count = most.min(self.in_flight.len());
        if count > 0 {
            (self.last_taken, self.last_sign) = (now(), now());
        }
        self.in_flight.drain(..count).collect()
    }

    /// How many of `wanted` bytes a call moves, if it does not fail.
    fn moves(&mut self, wanted: usize) -> io::Result<usize> {
        if self.client_reset {
            return Err(io::Error::from_raw_os_error(libc::ECONNRESET));
        }
        if self.failed.is_none() && self.rng.chance(self.faults.fatal) {
            self.failed = Some(self.rng.pick(FATAL));
        }
        if let Some(errno) = self.failed {
            return Err(io::Error::from_raw_os_error(errno));
        }
        if self.rng.chance(self.faults.not_yet) {
            let kind = self.rng.pick(&[io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted]);
            return Err(kind.into());
        }
        let short = self.rng.chance(self.faults.short);
        Ok(if short { self.rng.count(wanted) } else { wanted })
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(self.arrived.len());
        let count = self.moves(wanted)?.min(wanted);
        if count == 0 && !self.client_finished {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.read += count as u64;
        self.arrived.drain(..count).zip(buffer).for_each(|(byte, place)| *place = byte);
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.server_finished.is_some() {
            self.violation = Some("wrote after it had finished");
        }
        let wanted = bytes.len().min(self.room - self.in_flight.len());
        let count = self.moves(wanted)?.min(wanted);
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.client_reset |= self.client_gone;
        self.in_flight.extend(&bytes[..count]);
        self.written += count as u64;
        Ok(count)
    }

    /// As the kernel does it: it resets with bytes unread, or when it was told to.
    fn close(&mut self) {
        (self.closed, self.in_flight_at_close) = (true, self.in_flight.len());
        if self.reset_on_close || !self.arrived.is_empty() || self.client_reset {
            self.cut = true;
            self.in_flight.clear();
        }
    }
}

/// The server's end of a wire.
#[derive(Debug)]
pub(crate) struct ScriptedSocket {
    wire: Rc<RefCell<Wire>>,
    /// A descriptor for epoll to watch. Nothing is read from it.
    stand_in: File,
}

impl ScriptedSocket {
    pub(super) fn new(wire: &Rc<RefCell<Wire>>) -> ScriptedSocket {
        let unwatched = wire.borrow().faults.unwatched;
        let stand_in = if unwatched { File::open("/dev/null") } else { sys::eventfd() };
        ScriptedSocket { wire: Rc::clone(wire), stand_in: stand_in.expect("a descriptor") }
    }
}

impl ScriptedSocket {
    /// What epoll would report.
    pub(super) fn ready(&self) -> libc::c_int {
        self.wire.borrow().ready()
    }
}

impl Read for ScriptedSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wire.borrow_mut().read(buffer)
    }
}

impl Write for ScriptedSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wire.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for ScriptedSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stand_in.as_fd()
    }
}

impl Socket for ScriptedSocket {
    fn arrived(&self) -> io::Result<u32> {
        let wire = self.wire.borrow();
        match wire.failed {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Ok(wire.arrived.len() as u32),
        }
    }

    fn unacknowledged(&self) -> io::Result<u32> {
        let wire = self.wire.borrow();
        Ok(wire.in_flight.len() as u32 + u32::from(wire.fin_in_flight))
    }

    fn send_fin(&self) -> io::Result<()> {
        let mut wire = self.wire.borrow_mut();
        let (at, silence) = (now(), now() - wire.last_sign);
        let (sent, unread) = (wire.sent, wire.arrived.len());
        wire.fin_in_flight = true;
        wire.server_finished = Some(Finish { at, sent, unread, silence });
        let broken = wire.client_reset || wire.failed.is_some();
        if broken { Err(io::Error::from_raw_os_error(libc::ENOTCONN)) } else { Ok(()) }
    }

    fn take_failure(&self) -> io::Error {
        io::Error::from_raw_os_error(libc::ECONNRESET)
    }

    fn reset(&self) {
        self.wire.borrow_mut().reset_on_close = true;
    }
}

impl Drop for ScriptedSocket {
    fn drop(&mut self) {
        self.wire.borrow_mut().close();
    }
}
