//! Every `unsafe` block of the comparison, one call each.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use libc::{c_int, pid_t};

/// Set by the signal handler, which can do little else.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_: c_int) {
    INTERRUPTED.store(true, Relaxed);
}

fn check(result: c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// From here on SIGINT, SIGTERM and SIGHUP are only noted.
pub(crate) fn note_interrupts() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let handler = note as extern "C" fn(c_int) as libc::sighandler_t;
        // SAFETY: the handler does nothing but set a flag.
        unsafe { libc::signal(signal, handler) };
    }
}

/// Returns whether there was an interrupt.
pub(crate) fn is_interrupted() -> bool {
    INTERRUPTED.load(Relaxed)
}

/// Lets this process, and those it starts, open as many descriptors as the hard limit allows.
/// Returns that number.
pub(crate) fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: there is room for the answer.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the limit is there during the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    Ok(limit.rlim_max)
}

/// Makes a program end when this one ends, and pins it to a core if one is given.
pub(crate) fn tie(command: &mut Command, core: Option<usize>) {
    let before_exec = move || {
        die_with_parent()?;
        core.map_or(Ok(()), stay_on)
    };
    // SAFETY: both are plain system calls, which may be made between fork and exec.
    unsafe { command.pre_exec(before_exec) };
    // A terminal interrupts a whole group: a server would end, and that would look like a failure.
    command.process_group(0);
}

fn die_with_parent() -> io::Result<()> {
    // SAFETY: takes no pointer.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })
}

fn stay_on(core: usize) -> io::Result<()> {
    // SAFETY: all bits of a set may be zero.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the macro checks that the core is one that a set can have.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: the set is there during the call, and as long as it says.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) })
}

/// The CPU time of a process, threads that have ended included.
///
/// `/proc/PID/task/*/schedstat` would leave those out.
pub(crate) fn processor_time(pid: u32) -> io::Result<Duration> {
    let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: there is room for the answer.
    match unsafe { libc::clock_getcpuclockid(pid as pid_t, &mut clock) } {
        0 => {}
        errno => return Err(io::Error::from_raw_os_error(errno)),
    }
    // SAFETY: there is room for the answer.
    check(unsafe { libc::clock_gettime(clock, &mut time) })?;
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// Has the kernel choose the port of a socket only when it connects, although it is bound to
/// an address before: then connections to different peers can share the port.
pub(crate) fn choose_port_on_connecting(socket: BorrowedFd<'_>) -> io::Result<()> {
    let (yes, size): (c_int, _) = (1, size_of::<c_int>() as libc::socklen_t);
    let (fd, yes) = (socket.as_raw_fd(), (&raw const yes).cast());
    let option = libc::IP_BIND_ADDRESS_NO_PORT;
    // SAFETY: the value is there during the call, and as long as it says.
    check(unsafe { libc::setsockopt(fd, libc::IPPROTO_IP, option, yes, size) })
}

/// Sends SIGINT to a process.
pub(crate) fn interrupt(pid: u32) {
    // SAFETY: takes no pointer.
    unsafe { libc::kill(pid as pid_t, libc::SIGINT) };
}
