//! `--check`: how many connections this machine can hold, and which setting limits it.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use reactor_server::program::cgroup;
use reactor_server::program::limits::{
    cpus, descriptor_limits, descriptors_needed, event_loop_descriptors,
};
use reactor_server::program::need::{KERNEL_BYTES, Need};
use reactor_server::program::proc_file::number;
use reactor_server::program::stream::Stream;

use crate::cli::Cli;

/// Bytes of the server's own per connection. Measured with `scripts/counts.sh`.
const OWN: u64 = 150;
/// Bytes of a server without connections.
const BASE: u64 = 8 << 20;
/// Threads besides those that the flags ask for: the acceptor, signals, the log, and the admin
/// server's.
const OTHER_THREADS: u64 = 6;
/// How many clients may connect at the same moment, before the acceptor runs.
const BURST: u64 = 4096;
/// More than any machine holds.
const MOST: u64 = 1 << 40;

/// What the flags ask for besides connections.
#[derive(Debug, Clone, Copy)]
struct Demand {
    threads: u64,
    descriptors: usize,
}

/// Prints what this machine has and what the connections need, and changes nothing. The exit
/// code is 0 if all suffice, and 1 if not.
pub(crate) fn check(cli: &Cli) -> anyhow::Result<ExitCode> {
    let demand = Demand {
        threads: cli.io_threads() as u64 + cli.workers as u64 + OTHER_THREADS,
        descriptors: event_loop_descriptors(cli.io_threads(), cli.proxy_protocol.is_some()),
    };
    let fits = |connections| needs(connections, demand).iter().all(Need::is_met);
    let possible = most(fits);
    let wanted = cli.max_connections.unwrap_or(possible);
    let mut text = format!("{wanted} connections\n");
    text.extend(needs(wanted, demand).iter().map(Need::line));
    let next = needs(possible + 1, demand);
    text.push_str(&match next.iter().find(|need| !need.is_met()) {
        None => "No limit of this machine can be read.\n".to_owned(),
        Some(Need { what, fix, .. }) if wanted <= possible => {
            format!("This machine can hold {possible} connections. Next come {what}: {fix}\n")
        }
        Some(_) => format!("This machine can hold {possible} connections.\n"),
    });
    Stream::stdout()
        .and_then(|mut stdout| stdout.write_all(text.as_bytes()))
        .context("cannot write to standard output")?;
    Ok(if fits(wanted) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The highest number that fits, if all lower ones do.
fn most(fits: impl Fn(u64) -> bool) -> u64 {
    let (mut least, mut most) = (0, MOST);
    while least < most {
        let middle = least + (most - least).div_ceil(2);
        match fits(middle) {
            true => least = middle,
            false => most = middle - 1,
        }
    }
    least
}

fn needs(connections: u64, demand: Demand) -> Vec<Need> {
    let descriptors = descriptors_needed(0, demand.descriptors).saturating_add(connections);
    let mut needs = vec![
        descriptors_of_process(descriptors),
        Need::setting("descriptors, at the very most", "fs.nr_open", descriptors),
        Need::open_files(descriptors),
        memory(connections),
        Need::setting("connects at one moment", "net.core.somaxconn", connections.min(BURST)),
        half_open(connections.min(BURST)),
    ];
    needs.extend(Need::conntrack(connections));
    needs.extend(cgroup::pids_left().map(|left| Need {
        what: "threads of the control group",
        needed: demand.threads,
        available: Some(left),
        fix: "raise pids.max (TasksMax= in systemd)".to_owned(),
        ..Need::default()
    }));
    needs.push(Need { what: "CPUs", needed: 1, available: Some(cpus() as u64), ..Need::default() });
    needs
}

/// The server raises the soft limit to the hard limit.
fn descriptors_of_process(needed: u64) -> Need {
    let limits = descriptor_limits().ok();
    let soft = limits.map(|limits| limits.0).filter(|&soft| soft < needed);
    Need {
        what: "descriptors of a process",
        needed,
        available: limits.map(|limits| limits.1).filter(|&hard| hard < u64::MAX),
        fix: format!("raise the hard limit (ulimit -Hn {needed}; LimitNOFILE={needed} in systemd)"),
        provided: soft.map(|soft| format!("the server may raise its soft limit of {soft}")),
    }
}

/// With SYN cookies the kernel needs no room for connects that are not complete.
fn half_open(needed: u64) -> Need {
    let name = "net.ipv4.tcp_max_syn_backlog";
    let need = Need::setting("half-open connects", name, needed);
    let has_cookies = number("/proc/sys/net/ipv4/tcp_syncookies").is_some_and(|value| value > 0);
    match need.is_met() || !has_cookies {
        true => need,
        false => Need {
            available: Some(needed),
            provided: Some(format!("SYN cookies stay on: {name} is lower")),
            ..need
        },
    }
}

fn memory(connections: u64) -> Need {
    Need {
        what: "bytes of memory",
        needed: connections.saturating_mul(OWN + KERNEL_BYTES).saturating_add(BASE),
        available: reactor_server::program::memory::available(),
        fix: "more memory (in a container: a higher limit)".to_owned(),
        ..Need::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_that_fits_is_found() {
        for least in [0, 1, 19_962, MOST - 1] {
            assert_eq!(most(|connections| connections <= least), least);
        }
        assert_eq!(most(|_| true), MOST);
    }
}
