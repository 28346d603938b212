//! Every `unsafe` block of the crate: one system call each, made safe.
//!
//! Descriptors come in as [`BorrowedFd`] and go out as [`OwnedFd`] (or as a
//! [`File`] where reading and writing is all that is done with them), so that
//! nothing above this file can use one that is closed.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
#[cfg(feature = "program")]
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;

pub(crate) use libc::epoll_event;

use crate::net::address::plain;

/// Turns the `-1` of a system call into the error it left in `errno`.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Takes ownership of a descriptor that a system call has just returned.
fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: every caller passes a descriptor the kernel has just made for it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

pub(crate) fn epoll_create() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointer.
    let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    Ok(owned(fd))
}

pub(crate) fn epoll_ctl(
    epoll: BorrowedFd<'_>,
    operation: libc::c_int,
    fd: BorrowedFd<'_>,
    events: u32,
    data: u64,
) -> io::Result<()> {
    let mut event = epoll_event { events, u64: data };
    // SAFETY: both descriptors are open, and `event` outlives the call.
    let result =
        unsafe { libc::epoll_ctl(epoll.as_raw_fd(), operation, fd.as_raw_fd(), &mut event) };
    check(result).map(drop)
}

/// Waits for events and returns how many were written to the front of `events`.
///
/// A wait that a signal cuts short is one without events. A wait never ends too early; if
/// its time is no whole number of milliseconds, a kernel before 5.11 rounds it up.
pub(crate) fn epoll_wait(
    epoll: BorrowedFd<'_>,
    events: &mut [epoll_event],
    timeout: Option<Duration>,
) -> io::Result<usize> {
    let is_whole = |time: Duration| time.subsec_nanos().is_multiple_of(1_000_000);
    let result = match timeout {
        Some(time) if !is_whole(time) => epoll_wait_exactly(epoll, events, time),
        _ => epoll_wait_milliseconds(epoll, events, timeout),
    };
    match result {
        Ok(count) => Ok(count as usize),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        Err(error) => Err(error),
    }
}

fn epoll_wait_milliseconds(
    epoll: BorrowedFd<'_>,
    events: &mut [epoll_event],
    timeout: Option<Duration>,
) -> io::Result<libc::c_int> {
    let capacity = i32::try_from(events.len()).unwrap_or(i32::MAX);
    let timeout = milliseconds(timeout);
    // SAFETY: the kernel writes at most `capacity` events, which is what `events` holds.
    check(unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), capacity, timeout) })
}

/// What the kernel takes for a timeout: -1 is none.
fn milliseconds(timeout: Option<Duration>) -> libc::c_int {
    timeout
        .map_or(-1, |time| i32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX))
}

/// By number, because not every C library has a function for it.
fn epoll_wait_exactly(
    epoll: BorrowedFd<'_>,
    events: &mut [epoll_event],
    time: Duration,
) -> io::Result<libc::c_int> {
    let capacity = i32::try_from(events.len()).unwrap_or(i32::MAX);
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    // The kernel's own `timespec` has 64 bits twice on every machine.
    let timeout = [seconds, time.subsec_nanos().into()];
    let no_mask = std::ptr::null::<libc::sigset_t>();
    // SAFETY: the kernel writes at most `capacity` events, which is what `events` holds;
    // `timeout` outlives the call, and there is no signal mask.
    let result = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll.as_raw_fd(),
            events.as_mut_ptr(),
            capacity,
            timeout.as_ptr(),
            no_mask,
            0_usize,
        )
    };
    match check(result as libc::c_int) {
        // A sandbox may refuse a call that it does not know as not permitted.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
            epoll_wait_milliseconds(epoll, events, Some(time))
        }
        result => result,
    }
}

/// Lets sleeps of the calling thread end on time, not up to 50 microseconds late.
#[cfg(feature = "load")]
pub(crate) fn wake_on_time() {
    const NANOSECOND: libc::c_ulong = 1;
    // SAFETY: takes numbers only; if it fails nothing changed.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, NANOSECOND) };
}

/// Has a socket that is bound to an address choose its port when it connects, so that
/// one port serves connections to many peers.
#[cfg(feature = "load")]
pub(crate) fn choose_port_on_connecting(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)
}

/// Waits until one of these events of a descriptor (`POLLIN`, `POLLOUT`) or an error is there.
/// Returns whether that was before the timeout.
#[cfg(feature = "program")]
pub(crate) fn wait_for(
    fd: BorrowedFd<'_>,
    events: libc::c_short,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    // SAFETY: the kernel reads and writes one entry, which is what `poll` is.
    check(unsafe { libc::poll(&mut poll, 1, milliseconds(timeout)) }).map(|ready| ready > 0)
}

/// Duplicates a descriptor by its number, which none of the standard streams gets.
#[cfg(feature = "program")]
pub(crate) fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    const FIRST: libc::c_int = 3;
    fcntl(fd, libc::F_DUPFD_CLOEXEC, FIRST).map(owned)
}

#[cfg(feature = "program")]
fn fcntl(fd: RawFd, command: libc::c_int, argument: libc::c_int) -> io::Result<libc::c_int> {
    // SAFETY: its commands here take a number, and fail if the descriptor is not open.
    check(unsafe { libc::fcntl(fd, command, argument) })
}

/// Bit N is set if descriptor N, a standard stream, was closed when the process began.
#[cfg(feature = "program")]
static CLOSED_AT_START: AtomicU8 = AtomicU8::new(0);

/// Returns whether a descriptor is a standard stream that was closed when the process began.
#[cfg(feature = "program")]
pub(crate) fn was_closed_at_start(fd: RawFd) -> bool {
    (0..3).contains(&fd) && CLOSED_AT_START.load(Relaxed) & (1 << fd) != 0
}

/// Runs before `main`, and before the runtime of `std` opens `/dev/null` in place of the
/// standard streams that are closed. Afterwards they cannot be told from others.
#[cfg(feature = "program")]
#[used]
// SAFETY: the section has pointers to functions, which the C library calls once, on the one
// thread that there is. This one calls nothing that must be initialised first.
#[unsafe(link_section = ".init_array")]
static NOTE_CLOSED_STREAMS: extern "C" fn() = {
    extern "C" fn note() {
        let is_closed = |fd: &RawFd| fcntl(*fd, libc::F_GETFD, 0).is_err();
        let closed = (0..3).filter(is_closed).fold(0, |bits, fd| bits | 1 << fd);
        CLOSED_AT_START.store(closed, Relaxed);
    }
    note
};

/// Ignores a signal, in this process and in all that it starts.
pub(crate) fn ignore_signal(signal: libc::c_int) {
    // SAFETY: takes numbers only, and no code runs when the signal arrives.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

pub(crate) fn eventfd() -> io::Result<File> {
    // SAFETY: takes no pointer.
    let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    Ok(File::from(owned(fd)))
}

/// Accepts one connection as a non-blocking, close-on-exec socket.
///
/// `std` and `socket2` need a second system call to make it non-blocking.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, SocketAddr)> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let accept4 = |address: *mut _, length: *mut _| {
        // SAFETY: `try_init` passes room for any address, and its length.
        check(unsafe { libc::accept4(listener.as_raw_fd(), address, length, flags) }).map(owned)
    };
    // SAFETY: where it succeeds, `accept4` has written the peer's address.
    let (socket, address) =
        unsafe { socket2::SockAddr::try_init(|storage, length| accept4(storage.cast(), length)) }?;
    let address = address
        .as_socket()
        .ok_or_else(|| io::Error::other("accepted a socket that is not of the internet"))?;
    Ok((socket, plain(address)))
}

/// Sets an option that is a number.
pub(crate) fn set_option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let (from, length) = ((&raw const value).cast(), size_of_val(&value) as libc::socklen_t);
    // SAFETY: the kernel reads `length` bytes of `value`.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, from, length) }).map(drop)
}

/// How many connections wait to be accepted. A sandbox may not say.
pub(crate) fn accept_queue(listener: BorrowedFd<'_>) -> io::Result<u32> {
    // The first words of `tcp_info`. Of a listener, `tcpi_unacked` is the length of its queue.
    let mut info = [0_u32; 7];
    let mut length = size_of_val(&info) as libc::socklen_t;
    let (level, name, into) = (libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast());
    // SAFETY: the kernel writes at most `length` bytes to `info`.
    check(unsafe { libc::getsockopt(listener.as_raw_fd(), level, name, into, &mut length) })?;
    Ok(info[6])
}

/// The kernel's number of the calling thread, as `ps -L` shows it.
pub(crate) fn thread_id() -> i32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::gettid() }
}

/// The processor time that a process has used.
pub(crate) fn processor_time(pid: libc::pid_t) -> io::Result<Duration> {
    /// The kernel has no process with a larger number, and the number of a clock no room for it.
    const MAX_PID: libc::pid_t = 1 << 22;
    if pid > MAX_PID {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    let mut clock: libc::clockid_t = 0;
    // SAFETY: `clock` has room for what is written.
    match unsafe { libc::clock_getcpuclockid(pid, &mut clock) } {
        0 => {}
        errno => return Err(io::Error::from_raw_os_error(errno)),
    }
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: `time` has room for what is written.
    check(unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so the time is written.
    let time = unsafe { time.assume_init() };
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// How many bytes arrived on a socket and were not read yet. Unless urgent bytes are in line
/// (`SO_OOBINLINE`), only those before the first of them are counted.
pub(crate) fn bytes_arrived(socket: BorrowedFd<'_>) -> io::Result<u32> {
    queued(socket, libc::FIONREAD)
}

/// How many bytes were written to a socket and not acknowledged by its peer yet.
pub(crate) fn bytes_unacknowledged(socket: BorrowedFd<'_>) -> io::Result<u32> {
    queued(socket, libc::TIOCOUTQ)
}

fn queued(socket: BorrowedFd<'_>, request: libc::Ioctl) -> io::Result<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: both requests write one `int`.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), request, &mut bytes) })?;
    Ok(bytes as u32)
}

/// The soft and the hard limit of open descriptors.
pub(crate) fn descriptor_limit() -> io::Result<libc::rlimit> {
    let mut limit = MaybeUninit::uninit();
    // SAFETY: `limit` has room for what is written.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so the limit is written.
    Ok(unsafe { limit.assume_init() })
}

/// A limit in 64 bits: some targets have 32 of them.
#[allow(clippy::useless_conversion, reason = "`rlim_t` has 32 bits on some targets")]
pub(crate) fn wide(limit: libc::rlim_t) -> u64 {
    limit.into()
}

pub(crate) fn set_descriptor_limit(limit: &libc::rlimit) -> io::Result<()> {
    // SAFETY: `limit` is read only.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) }).map(drop)
}

/// Has the C library return blocks of `size` bytes and more to the kernel as soon as they are
/// freed. By default it learns to keep ever larger ones.
#[cfg(target_env = "gnu")]
pub(crate) fn give_back_blocks_from(size: libc::c_int) {
    // SAFETY: takes numbers only; if it fails nothing changed.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, size) };
}

/// Has the C library return all free pages to the kernel.
#[cfg(target_env = "gnu")]
pub(crate) fn give_back_free_pages() {
    // SAFETY: takes a number only, and moves nothing that is in use.
    unsafe { libc::malloc_trim(0) };
}

/// Other C libraries return pages automatically.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn give_back_free_pages() {}

/// Other C libraries return large blocks automatically.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn give_back_blocks_from(_: libc::c_int) {}

/// A set of signals.
pub(crate) struct SignalSet(libc::sigset_t);

impl SignalSet {
    pub(crate) fn new(signals: &[libc::c_int]) -> SignalSet {
        let mut set = MaybeUninit::uninit();
        // SAFETY: `set` has room for a signal set.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        for &signal in signals {
            // SAFETY: the set was initialised by `sigemptyset`.
            unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
        }
        // SAFETY: `sigemptyset` cannot fail and has initialised it.
        SignalSet(unsafe { set.assume_init() })
    }

    pub(crate) fn contains(&self, signal: libc::c_int) -> bool {
        // SAFETY: the set is initialised, and read only.
        unsafe { libc::sigismember(&self.0, signal) == 1 }
    }
}

/// Blocks the set in the calling thread and in all that it starts from now on. Returns what
/// was blocked before.
pub(crate) fn block_signals(set: &SignalSet) -> io::Result<SignalSet> {
    change_blocked(libc::SIG_BLOCK, set)
}

/// Unblocks the set in the calling thread.
pub(crate) fn unblock_signals(set: &SignalSet) -> io::Result<SignalSet> {
    change_blocked(libc::SIG_UNBLOCK, set)
}

fn change_blocked(how: libc::c_int, set: &SignalSet) -> io::Result<SignalSet> {
    let mut before = SignalSet::new(&[]);
    // SAFETY: the set is read only, and `before` has room for what was blocked.
    match unsafe { libc::pthread_sigmask(how, &set.0, &mut before.0) } {
        0 => Ok(before),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// A descriptor that is readable while one of these (blocked) signals is pending.
pub(crate) fn signalfd(set: &SignalSet) -> io::Result<File> {
    // SAFETY: the set is read only, and -1 asks for a new descriptor.
    let fd = unsafe { libc::signalfd(-1, &set.0, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    Ok(File::from(owned(check(fd)?)))
}

/// Whether a signal is ignored.
pub(crate) fn is_ignored(signal: libc::c_int) -> io::Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    let none = std::ptr::null();
    // SAFETY: no action is set, and `action` has room for the present one.
    check(unsafe { libc::sigaction(signal, none, action.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so the action is written.
    Ok(unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN)
}

/// Waits until one of the (blocked) signals arrives, and takes it.
pub(crate) fn wait_for_signal(set: &SignalSet) -> io::Result<libc::c_int> {
    let mut signal = 0;
    // SAFETY: the set is read only, and `signal` has room for the number.
    match unsafe { libc::sigwait(&set.0, &mut signal) } {
        0 => Ok(signal),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}
