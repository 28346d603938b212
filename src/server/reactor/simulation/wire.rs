//! A scripted socket, and the wire behind it that ends at a scripted client.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::dice::Dice;
use crate::net::clock::scripted::now;
use crate::net::socket::Socket;
use crate::net::sys;

/// What the kernel would know of a connection.
#[derive(Debug)]
pub(super) struct Wire {
    dice: Dice,
    faults: Faults,
    /// Said by the client, and not read by the server.
    pub(super) arrived: VecDeque<u8>,
    /// Written by the server, and not taken by the client.
    pub(super) under_way: VecDeque<u8>,
    /// How many bytes may be under way.
    room: usize,
    /// The client has said its last byte.
    pub(super) client_finished: bool,
    /// The client has closed: whatever it is sent makes it reset.
    pub(super) client_gone: bool,
    pub(super) client_reset: bool,
    /// A call has failed for good, with this.
    pub(super) failed: Option<i32>,
    pub(super) server_finished: Option<Finish>,
    pub(super) said: usize,
    /// When the client last said or took something.
    last_sign: Instant,
    pub(super) read: u64,
    pub(super) written: u64,
    /// The server's FIN has not arrived yet.
    fin_under_way: bool,
    reset_on_close: bool,
    pub(super) closed: bool,
    /// The server closed in a way that lost what was under way.
    pub(super) cut: bool,
    pub(super) under_way_at_close: usize,
    pub(super) last_taken: Instant,
    /// What the server did that no server may.
    pub(super) misdeed: Option<&'static str>,
}

/// How things stood when the server had said its last byte.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finish {
    pub(super) at: Instant,
    /// By the client, in bytes.
    pub(super) said: usize,
    /// So many of them were not read.
    pub(super) unread: usize,
    /// How long the client had given no sign of life.
    pub(super) silence: Duration,
}

/// How often calls go wrong, in times a thousand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Faults {
    pub(super) short: usize,
    pub(super) not_yet: usize,
    pub(super) fatal: usize,
    /// Epoll will not watch the socket at all.
    pub(super) unwatched: bool,
}

/// What may end a connection from one call to the next.
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
    pub(super) fn new(dice: Dice, faults: Faults, room: usize) -> Rc<RefCell<Wire>> {
        Rc::new(RefCell::new(Wire {
            dice,
            faults,
            room,
            arrived: VecDeque::new(),
            under_way: VecDeque::new(),
            client_finished: false,
            client_gone: false,
            client_reset: false,
            failed: None,
            server_finished: None,
            said: 0,
            last_sign: now(),
            read: 0,
            written: 0,
            fin_under_way: false,
            reset_on_close: false,
            closed: false,
            cut: false,
            under_way_at_close: 0,
            last_taken: now(),
            misdeed: None,
        }))
    }

    /// What epoll would say of it.
    pub(super) fn ready(&self) -> libc::c_int {
        let broken = self.client_reset || self.failed.is_some();
        let told = |fact: bool, event: libc::c_int| if fact { event } else { 0 };
        told(broken || self.client_finished || !self.arrived.is_empty(), libc::EPOLLIN)
            | told(broken || self.under_way.len() < self.room, libc::EPOLLOUT)
            | told(self.client_reset, libc::EPOLLERR)
            | told(broken || self.client_finished && self.server_finished.is_some(), libc::EPOLLHUP)
    }

    pub(super) fn is_unwatched(&self) -> bool {
        self.faults.unwatched
    }

    /// The client says something.
    pub(super) fn say(&mut self, bytes: &[u8]) {
        self.arrived.extend(bytes);
        self.said += bytes.len();
        self.last_sign = now();
    }

    /// The client takes at most `most` bytes.
    pub(super) fn take(&mut self, most: usize) -> Vec<u8> {
        // The client's kernel has it, whether the client reads or not.
        self.fin_under_way = false;
        let count = most.min(self.under_way.len());
        if count > 0 {
            (self.last_taken, self.last_sign) = (now(), now());
        }
        self.under_way.drain(..count).collect()
    }

    /// How many of `wanted` bytes a call moves, if it does not fail.
    fn moves(&mut self, wanted: usize) -> io::Result<usize> {
        if self.client_reset {
            return Err(io::Error::from_raw_os_error(libc::ECONNRESET));
        }
        if self.failed.is_none() && self.dice.chance(self.faults.fatal) {
            self.failed = Some(self.dice.pick(FATAL));
        }
        if let Some(errno) = self.failed {
            return Err(io::Error::from_raw_os_error(errno));
        }
        if self.dice.chance(self.faults.not_yet) {
            let kind = self.dice.pick(&[io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted]);
            return Err(kind.into());
        }
        let short = self.dice.chance(self.faults.short);
        Ok(if short { self.dice.count(wanted) } else { wanted })
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
            self.misdeed = Some("wrote after it had finished");
        }
        let wanted = bytes.len().min(self.room - self.under_way.len());
        let count = self.moves(wanted)?.min(wanted);
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.client_reset |= self.client_gone;
        self.under_way.extend(&bytes[..count]);
        self.written += count as u64;
        Ok(count)
    }

    /// As the kernel does it: with bytes unread, or when told so, it resets.
    fn close(&mut self) {
        (self.closed, self.under_way_at_close) = (true, self.under_way.len());
        if self.reset_on_close || !self.arrived.is_empty() || self.client_reset {
            self.cut = true;
            self.under_way.clear();
        }
    }
}

/// The server's end of a wire.
#[derive(Debug)]
pub(crate) struct Script {
    wire: Rc<RefCell<Wire>>,
    /// Something for epoll to watch, of which nothing is read.
    stand_in: File,
}

impl Script {
    pub(super) fn new(wire: &Rc<RefCell<Wire>>) -> Script {
        let unwatched = wire.borrow().faults.unwatched;
        let stand_in = if unwatched { File::open("/dev/null") } else { sys::eventfd() };
        Script { wire: Rc::clone(wire), stand_in: stand_in.expect("a descriptor") }
    }
}

impl Script {
    /// What epoll would say of it.
    pub(super) fn ready(&self) -> libc::c_int {
        self.wire.borrow().ready()
    }
}

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wire.borrow_mut().read(buffer)
    }
}

impl Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wire.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Script {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stand_in.as_fd()
    }
}

impl Socket for Script {
    fn arrived(&self) -> io::Result<u32> {
        let wire = self.wire.borrow();
        match wire.failed {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Ok(wire.arrived.len() as u32),
        }
    }

    fn unacknowledged(&self) -> io::Result<u32> {
        let wire = self.wire.borrow();
        Ok(wire.under_way.len() as u32 + u32::from(wire.fin_under_way))
    }

    fn finish(&self) -> io::Result<()> {
        let mut wire = self.wire.borrow_mut();
        let (at, silence) = (now(), now() - wire.last_sign);
        let (said, unread) = (wire.said, wire.arrived.len());
        wire.fin_under_way = true;
        wire.server_finished = Some(Finish { at, said, unread, silence });
        let broken = wire.client_reset || wire.failed.is_some();
        if broken { Err(io::Error::from_raw_os_error(libc::ENOTCONN)) } else { Ok(()) }
    }

    fn failure(&self) -> io::Error {
        io::Error::from_raw_os_error(libc::ECONNRESET)
    }

    fn reset(&self) {
        self.wire.borrow_mut().reset_on_close = true;
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.wire.borrow_mut().close();
    }
}
