//! Faults of system calls, made to fail by `strace`.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};

use crate::clients::blocking::{Answer, await_answer, begin_to_connect, ping, try_ping};
use crate::harness::bench::Bench;
use crate::harness::row::{Row, Skip};
use crate::harness::server::{PATIENCE, Server};
use crate::harness::strace::{Failures, Strace, failed_calls};
use crate::strace::failing;

pub(crate) const ROWS: &[Row] = &[
    Row { id: "F02", fault: "accept fails, each errno", long: false, run: accept_fails },
    Row {
        id: "F03",
        fault: "accept fails, many in a row",
        long: false,
        run: accept_goes_on_failing,
    },
    Row { id: "F05", fault: "epoll_ctl fails", long: false, run: epoll_refuses },
    Row { id: "F44", fault: "socket options refused", long: false, run: options_refused },
];

/// What accept(2) may fail with, because of the machine or of one connection. The
/// first ones are those of a quick run: out of descriptors, one for each of the rest.
const ERRNOS: [&str; 12] = [
    "ENFILE",
    "EPROTO",
    "EOPNOTSUPP",
    "ENOMEM",
    "ENOBUFS",
    "EPERM",
    "ENOPROTOOPT",
    "ENETDOWN",
    "EHOSTDOWN",
    "ENONET",
    "EHOSTUNREACH",
    "ENETUNREACH",
];
const ACCEPT: &str = "accept,accept4";
/// How long the fault lasts if it does not end earlier.
const FAULT: Duration = Duration::from_secs(5);
/// How long after it the next connection may have to wait: five times our target, and two
/// seconds in which a busy machine may pause; and at most for another server.
const NEXT: Duration = Duration::from_millis(2500);
const NEXT_OF_OTHERS: Duration = Duration::from_secs(5);

fn accept_fails(bench: &Bench) -> Result<String> {
    let (times, errnos) = bench.measure((5, &ERRNOS[..3]), (50, &ERRNOS[..]));
    let (mut fallen, mut slowest) = (Vec::new(), Duration::ZERO);
    for errno in errnos {
        match outlive(bench, errno, times) {
            Ok(after) => slowest = slowest.max(after),
            Err(error) if error.is::<Skip>() => return Err(error),
            Err(error) => fallen.push(format!("{errno}: {error:#}")),
        }
    }
    let (all, survived) = (errnos.len(), errnos.len() - fallen.len());
    ensure!(fallen.is_empty(), "{survived} of {all}; {}", fallen.join("; "));
    Ok(format!(
        "{all} of {all}, next connection served at most {slowest:.1?} after the last failure"
    ))
}

/// Makes accept fail with `errno`. Returns how long after that a connection was served.
fn outlive(bench: &Bench, errno: &str, times: u32) -> Result<Duration> {
    let server = bench.server().start()?;
    server.run_first();
    server.unless_it_has_ended(wait_for_next(bench, &server, errno, times))
}

fn wait_for_next(bench: &Bench, server: &Server, errno: &str, times: u32) -> Result<Duration> {
    let mut bystander = server.connect()?;
    ping(&mut bystander)?;
    let strace = Strace::inject(bench, server, ACCEPT, errno, times)?;
    let mut stream = server.connect()?;
    stream.write_all(b"?")?;
    let mut answer = await_answer(&mut stream, FAULT)?;
    let mut served = SystemTime::now();
    let failures = strace.failures()?;
    let mut fault_over = failures.last_before(served).unwrap_or(served);
    if answer == Answer::Silence {
        fault_over = SystemTime::now();
        answer = await_answer(&mut stream, PATIENCE)?;
        served = SystemTime::now();
    }
    must_have_failed(&failures)?;
    unharmed(&mut bystander)?;
    ensure!(answer == Answer::Served, "the next connection got {answer:?}");
    let after = served.duration_since(fault_over)?;
    let limit = if bench.is_ours() { NEXT } else { NEXT_OF_OTHERS };
    ensure!(
        after < limit,
        "the next connection was served only {after:.1?} after the last failure"
    );
    Ok(after)
}

/// A server that does not make the calls cannot be judged by them.
fn must_have_failed(failures: &Failures) -> Result<()> {
    match failures.count() {
        0 => Err(Skip("it was not seen to make this call".into()).into()),
        _ => Ok(()),
    }
}

fn unharmed(bystander: &mut TcpStream) -> Result<()> {
    ping(bystander).context("an established connection was harmed")
}

fn accept_goes_on_failing(bench: &Bench) -> Result<String> {
    let times = bench.measure(500, 10_000);
    let mut failures = 0;
    for errno in ["ECONNABORTED", "EINTR"] {
        failures += all_are_accepted(bench, errno, times).with_context(|| errno.to_owned())?;
    }
    Ok(format!("{failures} failures, {} of {} connections served", 2 * OTHERS, 2 * OTHERS))
}

/// How many connect meanwhile.
const OTHERS: usize = 20;

fn all_are_accepted(bench: &Bench, errno: &str, times: u32) -> Result<usize> {
    let server = bench.server().start()?;
    server.unless_it_has_ended(accept_all(bench, &server, errno, times))
}

fn accept_all(bench: &Bench, server: &Server, errno: &str, times: u32) -> Result<usize> {
    let mut bystander = server.connect()?;
    ping(&mut bystander)?;
    let strace = Strace::inject(bench, server, ACCEPT, errno, times)?;
    let connect = |_| begin_to_connect(server.address);
    let mut others = (0..OTHERS).map(connect).collect::<Result<Vec<_>>>()?;
    unharmed(&mut bystander)?;
    for (number, stream) in others.iter_mut().enumerate() {
        stream.set_nonblocking(false)?;
        let answer = try_ping(stream, 3 * PATIENCE)?;
        ensure!(answer == Answer::Served, "connection {number} got {answer:?}");
    }
    let failures = strace.failures()?;
    must_have_failed(&failures)?;
    unharmed(&mut bystander)?;
    server.must_be_alive()?;
    Ok(failures.count())
}

fn epoll_refuses(bench: &Bench) -> Result<String> {
    let mut lost = 0;
    for errno in ["ENOSPC", "ENOMEM"] {
        lost += lose_only_those(bench, errno).with_context(|| errno.to_owned())?;
    }
    Ok(format!("{lost} connections could not be watched and were closed, no other, no descriptor"))
}

/// How often each thread's `epoll_ctl` fails, and how many connections that costs
/// at most, whatever number of threads there is.
const REFUSALS: u32 = 4;
const MOST_LOST: usize = 256;

fn lose_only_those(bench: &Bench, errno: &str) -> Result<usize> {
    let server = bench.server().start()?;
    server.unless_it_has_ended(lose(bench, &server, errno))
}

fn lose(bench: &Bench, server: &Server, errno: &str) -> Result<usize> {
    let mut bystander = server.connect()?;
    ping(&mut bystander)?;
    let before = server.descriptors_at_rest()?;
    let strace = Strace::inject(bench, server, "epoll_ctl", errno, REFUSALS)?;
    let mut lost = 0;
    while !is_served(server).with_context(|| format!("after {lost} were lost"))? {
        lost += 1;
        ensure!(lost < MOST_LOST, "{lost} connections were lost");
        unharmed(&mut bystander)?;
    }
    must_have_failed(&strace.failures()?)?;
    unharmed(&mut bystander)?;
    server.must_be_alive()?;
    server.descriptors_back_to(before)?;
    Ok(lost)
}

/// Whether a new connection is served. If it is not it must be closed, and not be
/// left to wait forever.
fn is_served(server: &Server) -> Result<bool> {
    match try_ping(&mut server.connect()?, Duration::from_secs(3))? {
        Answer::Silence => bail!("a connection was left open, and is not served"),
        answer => Ok(answer == Answer::Served),
    }
}

/// What kernels and sandboxes answer to an option that they do not know.
const UNKNOWN: [&str; 5] = ["ENOPROTOOPT", "EPERM", "EINVAL", "EOPNOTSUPP", "ENOSYS"];
/// More options than any server sets.
const MOST_OPTIONS: usize = 100;

fn options_refused(bench: &Bench) -> Result<String> {
    let errnos = bench.measure(&UNKNOWN[..1], &UNKNOWN[..]);
    let mut calls = 0;
    for errno in errnos {
        let mut number = 1;
        while start_without(bench, errno, &format!("when={number}"))? > 0 {
            number += 1;
            ensure!(number < MOST_OPTIONS, "it sets options without end");
        }
        calls = number - 1;
        start_without(bench, errno, "when=1+")?;
    }
    if calls == 0 {
        return Err(Skip("it was not seen to make this call".into()).into());
    }
    let errnos = errnos.join(", ");
    Ok(format!("served without the option of each of {calls} calls, and without any: {errnos}"))
}

/// Starts a server whose calls of `setsockopt` fail, and which must serve. Returns how many
/// of them failed.
fn start_without(bench: &Bench, errno: &str, when: &str) -> Result<usize> {
    let output = bench.folder.join("options");
    let words = failing("setsockopt", errno, when, &output)
        .ok_or_else(|| Skip("strace is missing or may not trace".into()))?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let served = || -> Result<()> {
        let server = bench.server().wrapped_in(&words).start()?;
        server.must_be_alive()
    };
    served().with_context(|| format!("setsockopt failed with {errno}, {when}"))?;
    failed_calls(&output)
}
