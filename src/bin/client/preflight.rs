//! `--check`: whether a load fits on this machine, and what to do if it does not.

use std::fs;
use std::process::ExitCode;

use procfs::{Current, Meminfo};
use reactor_server::load::{MAX_CONNECTING, Plan, port_range};
use reactor_server::program::limits::{descriptors_needed, raise_descriptor_limit};
use reactor_server::program::target::Target;
use serde::Serialize;

use crate::address::plan_for_first;
use crate::cli::LoadArgs;
use crate::local::is_local;
use crate::output;

/// A resource that the connections need.
#[derive(Debug, Serialize)]
struct Need {
    what: &'static str,
    needed: u64,
    available: u64,
    /// What to do if there is too little of it.
    fix: String,
}

/// Bytes per connection: the client's own, and the kernel's for one end. Measured with
/// `scripts/million.sh`.
const OWN: u64 = 500;
const KERNEL: u64 = 5_200;
/// The kernel takes messages up to this size whole.
const SMALL: usize = 64 * 1024;

/// Prints how much of each resource is needed and available. The exit code is 0 if all
/// suffice, and 1 if not.
pub(crate) fn check(args: &LoadArgs, target: &Target) -> anyhow::Result<ExitCode> {
    let mut output = output::open(args.results.output.as_deref())?;
    let plan = plan_for_first(args, target)?;
    let needs = needs(&plan);
    let fits = needs.iter().all(Need::is_met);
    let text = if args.results.json {
        format!("{:#}\n", serde_json::json!({ "fits": fits, "needs": needs }))
    } else {
        let lines: String = needs.iter().map(Need::line).collect();
        format!("{} connections to {}\n{lines}", plan.connections, plan.target)
    };
    output::write_results(&mut output, &text)?;
    Ok(if fits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Need {
    fn is_met(&self) -> bool {
        self.needed <= self.available
    }

    fn line(&self) -> String {
        let Need { what, needed, available, fix } = self;
        let result = if self.is_met() { "fits".to_owned() } else { format!("short: {fix}") };
        format!("{what:<28} {needed:>12} of {available:>12}  {result}\n")
    }
}

fn needs(plan: &Plan) -> Vec<Need> {
    // A server on this machine has the other end of each connection.
    let ends = if is_local(plan.target) { 2 } else { 1 };
    let connections = plan.connections as u64;
    let mut needs = vec![descriptors(plan), open_files(connections * ends), ports(plan)];
    needs.extend(memory(plan, ends));
    needs.extend(conntrack(connections));
    needs.extend((ends == 2).then(|| accept_queue(plan)));
    needs
}

fn descriptors(plan: &Plan) -> Need {
    let needed = descriptors_needed(plan.connections, plan.other_descriptors());
    Need {
        what: "descriptors of a process",
        needed,
        available: raise_descriptor_limit().unwrap_or(0),
        fix: format!(
            "raise the hard limit (ulimit -Hn {needed}; LimitNOFILE= in systemd; not beyond \
             fs.nr_open), or share the connections among several clients"
        ),
    }
}

fn open_files(needed: u64) -> Need {
    let files = numbers("/proc/sys/fs/file-nr");
    let (used, most) =
        (files.first().copied().unwrap_or(0), files.get(2).copied().unwrap_or(u64::MAX));
    Need {
        what: "open files of the machine",
        needed,
        available: most.saturating_sub(used),
        fix: format!("sysctl fs.file-max={}", used.saturating_add(needed)),
    }
}

fn ports(plan: &Plan) -> Need {
    let each = port_range().count() as u64;
    let sources = plan.sources.count().max(1);
    let needed = plan.connections as u64;
    Need {
        what: "ports x source addresses",
        needed,
        available: each.saturating_mul(sources),
        fix: format!(
            "give {} addresses of this machine with --source, or widen net.ipv4.ip_local_port_range",
            needed.div_ceil(each.max(1))
        ),
    }
}

fn memory(plan: &Plan, ends: u64) -> Option<Need> {
    let free = Meminfo::current().ok()?.mem_available?;
    // The client holds what is unsent or incomplete, which small messages are not.
    let held = if plan.size > SMALL { 2 * plan.size as u64 } else { 0 };
    Some(Need {
        what: "bytes of memory",
        needed: (plan.connections as u64).saturating_mul(OWN + held + KERNEL * ends),
        available: free,
        fix: "fewer connections, or more memory".to_owned(),
    })
}

/// Connections that wait for a server on this machine to accept them. If its queue is full,
/// the kernel drops a connect, and repeats it a second later.
fn accept_queue(plan: &Plan) -> Need {
    let needed = plan.connections.min(MAX_CONNECTING * plan.threads) as u64;
    Need {
        what: "connects under way",
        needed,
        available: numbers("/proc/sys/net/core/somaxconn").first().copied().unwrap_or(u64::MAX),
        fix: format!("sysctl net.core.somaxconn={needed}, or a slower --connect-rate"),
    }
}

/// Only if the kernel tracks connections, as it does for some firewalls.
fn conntrack(needed: u64) -> Option<Need> {
    let folder = "/proc/sys/net/netfilter/nf_conntrack";
    let most = *numbers(&format!("{folder}_max")).first()?;
    let used = *numbers(&format!("{folder}_count")).first().filter(|&&used| used > 0)?;
    Some(Need {
        what: "tracked connections",
        needed,
        available: most.saturating_sub(used),
        fix: format!("sysctl net.netfilter.nf_conntrack_max={}", used.saturating_add(needed)),
    })
}

fn numbers(path: &str) -> Vec<u64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}
