//! Faults of descriptors: those the server was not given, and those it opens.

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::net::{Shutdown, TcpStream};

use anyhow::{Context, Result, ensure};

use crate::clients::blocking;
use crate::harness::bench::Bench;
use crate::harness::row::Row;
use crate::harness::server::Server;
use crate::harness::tcp_table;

pub(crate) const ROWS: &[Row] = &[
    Row { id: "F38", fault: "started with descriptors 0-2 closed", long: false, run: closed },
    Row { id: "F39", fault: "descriptor flags", long: false, run: flags },
];

/// Not more than any server has room for, where it is not ours.
fn some(bench: &Bench) -> usize {
    if bench.is_ours() { bench.measure(50, 1000) } else { 50 }
}

const CLOSE: &[&str] = &["sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh"];

fn closed(bench: &Bench) -> Result<String> {
    let count = some(bench);
    let server = bench.server().wrapped_in(CLOSE).start()?;
    let mut clients: Vec<TcpStream> =
        (0..count).map(|_| server.connect()).collect::<Result<_>>()?;
    clients.iter_mut().try_for_each(blocking::ping)?;
    let connected = connected(&server)?;
    for descriptor in descriptors(&server)?.iter().filter(|descriptor| descriptor.number <= 2) {
        let theirs = descriptor.socket().is_some_and(|inode| connected.contains(&inode));
        ensure!(!theirs, "descriptor {} is a client", descriptor.number);
    }
    clients.into_iter().try_for_each(must_say_nothing)?;
    server.must_be_alive()?;
    Ok(format!("{count} connections: none got one of them, and nothing but echoes came"))
}

/// Until the server has finished too.
fn must_say_nothing(mut stream: TcpStream) -> Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).context("no FIN")?;
    ensure!(rest.is_empty(), "a client was sent {:?}", String::from_utf8_lossy(&rest));
    Ok(())
}

/// All must be close-on-exec, but for those that it inherited itself. Sockets must not block: all of ours, and of other servers those
/// that an epoll watches, because a thread of its own may well wait for one.
fn flags(bench: &Bench) -> Result<String> {
    let count = some(bench);
    let server = bench.server().start()?;
    let mut clients: Vec<TcpStream> =
        (0..count).map(|_| server.connect()).collect::<Result<_>>()?;
    clients.iter_mut().try_for_each(blocking::ping)?;
    let descriptors = own_descriptors(&server)?;
    let watched: HashSet<u32> = descriptors.iter().flat_map(Descriptor::watches).collect();
    let mut sockets = 0;
    for descriptor in &descriptors {
        let name = format!("descriptor {} ({})", descriptor.number, descriptor.link);
        ensure!(descriptor.flags & CLOEXEC != 0, "{name} is not CLOEXEC");
        let must_not_block = bench.is_ours() || watched.contains(&descriptor.number);
        if descriptor.socket().is_some() && must_not_block {
            ensure!(descriptor.flags & NONBLOCK != 0, "{name} blocks");
            sockets += 1;
        }
    }
    let all = descriptors.len();
    Ok(format!("{all} of {all} CLOEXEC, {sockets} of {sockets} sockets non-blocking"))
}

const NONBLOCK: u32 = 0o4000;
const CLOEXEC: u32 = 0o2000000;

/// An open descriptor of the server's first process. What it gives to programs that
/// it starts, it gives on purpose.
struct Descriptor {
    number: u32,
    /// What it is: `socket:[4711]`.
    link: String,
    flags: u32,
    info: String,
}

impl Descriptor {
    fn socket(&self) -> Option<u64> {
        self.link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    }

    /// What it watches, if it is an epoll.
    fn watches(&self) -> impl Iterator<Item = u32> {
        let targets = self.info.lines().filter_map(|line| line.strip_prefix("tfd:"));
        targets.filter_map(|rest| rest.split_whitespace().next()?.parse().ok())
    }
}

/// All but 0-2, and what this program has handed down, perhaps from its own parent.
fn own_descriptors(server: &Server) -> Result<Vec<Descriptor>> {
    let ours = descriptors_of("self")?;
    let handed_down = |one: &Descriptor| {
        ours.iter()
            .any(|our| our.flags & CLOEXEC == 0 && our.number == one.number && our.link == one.link)
    };
    let all = descriptors(server)?.into_iter();
    Ok(all.filter(|one| one.number > 2 && !handed_down(one)).collect())
}

fn descriptors(server: &Server) -> Result<Vec<Descriptor>> {
    descriptors_of(&server.pid().as_raw_nonzero().to_string())
}

fn descriptors_of(process: &str) -> Result<Vec<Descriptor>> {
    let folder = format!("/proc/{process}");
    let entries = fs::read_dir(format!("{folder}/fd"))?;
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // It may be closed by now, as the one that this folder was read with is.
    Ok(numbers.filter_map(|number: u32| descriptor(&folder, number).ok()).collect())
}

fn descriptor(folder: &str, number: u32) -> Result<Descriptor> {
    let link = fs::read_link(format!("{folder}/fd/{number}"))?.to_string_lossy().into_owned();
    let info = fs::read_to_string(format!("{folder}/fdinfo/{number}"))?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    Ok(Descriptor { number, link, flags: flags.context("no flags in fdinfo")?, info })
}

/// The server's sides of all connections.
fn connected(server: &Server) -> Result<HashSet<u64>> {
    let entries = tcp_table::on_port(server.address.port())?;
    let open = entries.iter().filter(|entry| entry.state == tcp_table::ESTABLISHED);
    Ok(open.map(|entry| entry.inode).collect())
}
