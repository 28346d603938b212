//! The floor: what epoll costs with nothing around it. A readable connection is read from
//! once and written to once; level-triggered, so that epoll reports again what is left.
//!
//! With one thread the listener is in the same epoll; with more, the main thread accepts
//! and deals to them in turn, as ours does.

use std::io;
use std::os::fd::{IntoRawFd, RawFd};
use std::ptr::{null, null_mut};
use std::thread;

use libc::{EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLIN, EPOLLOUT, c_int};
use peers::{Arguments, BUFFER};

/// A connection. Its epoll's events carry its address; it belongs to the thread of that epoll.
struct Connection {
    fd: RawFd,
    /// What the kernel would not take yet. While there is any, nothing is read.
    unsent: Vec<u8>,
}

/// What became of a connection.
enum State {
    Open,
    Over,
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The number of bytes, or `None` if it would block.
fn progress(count: isize) -> io::Result<usize> {
    match io::Error::last_os_error() {
        _ if count >= 0 => Ok(count as usize),
        error if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        error => Err(error),
    }
}

fn control(epoll: RawFd, operation: c_int, fd: RawFd, events: c_int, data: u64) -> io::Result<()> {
    let mut event = libc::epoll_event { events: events as u32, u64: data };
    // SAFETY: the event is there during the call, which copies it.
    check(unsafe { libc::epoll_ctl(epoll, operation, fd, &mut event) }).map(|_| ())
}

impl Connection {
    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        // SAFETY: the bytes are there during the call.
        let count =
            unsafe { libc::send(self.fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
        progress(count)
    }

    fn echo(&mut self, epoll: RawFd, buffer: &mut [u8]) -> io::Result<State> {
        // SAFETY: the buffer is there during the call, and as long as it says.
        let count = unsafe { libc::recv(self.fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        let count = match count {
            0 => return Ok(State::Over),
            count => progress(count)?,
        };
        let sent = self.send(&buffer[..count])?;
        if sent < count {
            self.unsent.extend_from_slice(&buffer[sent..count]);
            self.watch(epoll, EPOLLOUT)?;
        }
        Ok(State::Open)
    }

    fn flush(&mut self, epoll: RawFd) -> io::Result<State> {
        let sent = self.send(&self.unsent)?;
        self.unsent.drain(..sent);
        if self.unsent.is_empty() {
            self.unsent = Vec::new();
            self.watch(epoll, EPOLLIN)?;
        }
        Ok(State::Open)
    }

    fn watch(&self, epoll: RawFd, events: c_int) -> io::Result<()> {
        control(epoll, EPOLL_CTL_MOD, self.fd, events, self as *const Connection as u64)
    }
}

/// Accepts a connection and gives it to the thread of that epoll.
fn accept(listener: RawFd, epoll: RawFd) -> io::Result<()> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no address is asked for.
    let fd = check(unsafe { libc::accept4(listener, null_mut(), null_mut(), flags) })?;
    let (one, size): (c_int, _) = (1, size_of::<c_int>() as libc::socklen_t);
    let one = (&raw const one).cast();
    // SAFETY: the value is there during the call, and as long as it says.
    check(unsafe { libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, one, size) })?;
    let connection = Box::into_raw(Box::new(Connection { fd, unsent: Vec::new() }));
    control(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, connection as u64)
}

fn serve(epoll: RawFd, pointer: *mut Connection, buffer: &mut [u8]) {
    // SAFETY: it came from a box, is freed only below, and has no more events then.
    let connection = unsafe { &mut *pointer };
    let state = match connection.unsent.is_empty() {
        true => connection.echo(epoll, buffer),
        false => connection.flush(epoll),
    };
    if !matches!(state, Ok(State::Open)) {
        // Closing it may not remove it from epoll: the thread that accepted it may still be in the
        // call that added it, and hold it open.
        let _ = control(epoll, EPOLL_CTL_DEL, connection.fd, 0, 0);
        // SAFETY: the descriptor is this connection's alone.
        unsafe { libc::close(connection.fd) };
        // SAFETY: as above; each connection has one event a wait.
        drop(unsafe { Box::from_raw(pointer) });
    }
}

/// Serves the events of an epoll, for ever. Null stands for its listener, if it has one.
fn run(epoll: RawFd, listener: RawFd) -> io::Result<()> {
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 1024];
    let mut buffer = vec![0; BUFFER];
    loop {
        // SAFETY: there is room for the number of events that is passed.
        let count = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), 1024, -1) };
        for event in &events[..count.max(0) as usize] {
            match event.u64 as *mut Connection {
                pointer if pointer.is_null() => accept(listener, epoll)?,
                pointer => serve(epoll, pointer, &mut buffer),
            }
        }
    }
}

fn new_epoll() -> io::Result<RawFd> {
    // SAFETY: takes no pointer.
    check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
}

fn main() -> io::Result<()> {
    let arguments = Arguments::from_command_line();
    let listener = arguments.listen()?.into_raw_fd();
    if arguments.threads == 1 {
        let epoll = new_epoll()?;
        control(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, null::<Connection>() as u64)?;
        return run(epoll, listener);
    }
    let epolls: Vec<_> = (0..arguments.threads).map(|_| new_epoll()).collect::<io::Result<_>>()?;
    for &epoll in &epolls {
        thread::Builder::new().spawn(move || run(epoll, listener))?;
    }
    epolls.iter().cycle().try_for_each(|&epoll| accept(listener, epoll))
}
