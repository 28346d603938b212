//! `--check`: whether a load fits on this machine, and what to do if it does not.

use std::process::ExitCode;

use reactor_server::load::{Close, MAX_CONNECTING, Plan, port_range};
use reactor_server::program::limits::{descriptors_needed, raise_descriptor_limit};
use reactor_server::program::memory;
use reactor_server::program::need::{KERNEL_BYTES, Need};
use reactor_server::program::target::Target;
use serde_json::{Value, json};

use crate::cli::LoadArgs;
use crate::local::is_local;
use crate::output::Output;
use crate::resolve::plan_for_first;

/// Bytes of the client's own per connection. Measured with `scripts/million.sh`.
const OWN: u64 = 500;
/// The kernel takes messages up to this size whole.
const SMALL: usize = 64 * 1024;

/// Prints how much of each resource is needed and available. The exit code is 0 if all
/// suffice, and 1 if not.
pub(crate) fn check(args: &LoadArgs, target: &Target) -> anyhow::Result<ExitCode> {
    let plan = plan_for_first(args, target)?;
    let mut output = Output::open(args.results.output.as_deref())?;
    let needs = needs(&plan);
    let fits = needs.iter().all(Need::is_met);
    let text = if args.results.json {
        let needs: Vec<_> = needs.iter().map(json_of).collect();
        format!("{:#}\n", json!({ "fits": fits, "needs": needs }))
    } else {
        let lines: String = needs.iter().map(Need::line).collect();
        let connections = if plan.connections == 1 { "connection" } else { "connections" };
        format!("{} {connections} to {}\n{lines}", plan.connections, plan.target)
    };
    output.write_results(&text)?;
    Ok(if fits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A program that applied the fix of what fits could lower a limit, so it has none.
fn json_of(need: &Need) -> Value {
    let Need { what, needed, available, fix, provided } = need;
    let fix = (!need.is_met()).then_some(fix);
    let mut json = json!({ "what": what, "needed": needed, "available": available, "fix": fix });
    if let Some(provided) = provided {
        json["provided"] = json!(provided);
    }
    json
}

fn needs(plan: &Plan) -> Vec<Need> {
    // A server on this machine has the other end of each connection.
    let ends = if is_local(plan.target) { 2 } else { 1 };
    let connections = plan.connections as u64;
    let mut needs = vec![
        descriptors(plan),
        Need::open_files(connections * ends),
        ports(plan),
        memory(plan, ends),
    ];
    needs.extend(Need::conntrack(connections));
    needs.extend((ends == 2).then(|| accept_queue(plan)));
    needs
}

fn descriptors(plan: &Plan) -> Need {
    let needed = descriptors_needed(plan.connections, plan.other_descriptors());
    Need {
        what: "descriptors of a process",
        needed,
        available: raise_descriptor_limit().ok().filter(|&limit| limit < u64::MAX),
        fix: format!(
            "raise the hard limit (ulimit -Hn {needed}; LimitNOFILE= in systemd; not beyond \
             fs.nr_open), or share the connections among several clients"
        ),
        ..Need::default()
    }
}

fn ports(plan: &Plan) -> Need {
    let each = port_range().map(|ports| ports.count() as u64);
    let available = each.map(|each| each.saturating_mul(plan.sources.count().max(1)));
    let connections = plan.connections as u64;
    let reopened = most_reopened(plan);
    let needed = connections.saturating_add(reopened.unwrap_or(0));
    let addresses = needed.div_ceil(each.unwrap_or(1).max(1));
    let reset = if needed > connections { "use --close rst, " } else { "" };
    let spare = available.filter(|_| reopened.is_none());
    Need {
        what: "ports x source addresses",
        needed,
        available,
        fix: format!(
            "{reset}give {addresses} addresses of this machine with --source, or widen \
             net.ipv4.ip_local_port_range"
        ),
        provided: spare.map(|spare| {
            let rate = spare.saturating_sub(connections) / TIME_WAIT;
            format!("at most {rate} connections per second are replaced; or use --close rst")
        }),
    }
}

/// For how many seconds the kernel keeps the port of a connection that this end has closed
/// first.
const TIME_WAIT: u64 = 60;

/// The most connections that can be replaced within [`TIME_WAIT`], whose ports are then not
/// free; `None` if the plan does not limit them.
fn most_reopened(plan: &Plan) -> Option<u64> {
    let Some(every) = plan.reconnect_every.filter(|_| plan.close != Close::Rst) else {
        return Some(0);
    };
    let each = plan.messages.map(|messages| messages.saturating_sub(1) / every);
    let in_all = each.map(|each| each.saturating_mul(plan.connections as u64));
    let seconds = plan.duration.map_or(TIME_WAIT, |time| time.as_secs().clamp(1, TIME_WAIT));
    let by_rate = plan.rate.map(|rate| rate.saturating_mul(seconds) / every);
    in_all.into_iter().chain(by_rate).min()
}

fn memory(plan: &Plan, ends: u64) -> Need {
    // The client holds what is unsent or incomplete, which small messages are not. Of a stream it
    // holds what is unsent.
    let held = match plan.body.longest() {
        size if plan.stream => size as u64 * plan.pipeline as u64,
        size if size > SMALL => 2 * size as u64,
        _ => 0,
    };
    Need {
        what: "bytes of memory",
        needed: (plan.connections as u64).saturating_mul(OWN + held + KERNEL_BYTES * ends),
        available: memory::available(),
        fix: "fewer connections, or more memory (in a container: a higher limit)".to_owned(),
        ..Need::default()
    }
}

/// Connections that wait for a server on this machine to accept them. If its queue is full,
/// the kernel drops a connect, and repeats it a second later.
fn accept_queue(plan: &Plan) -> Need {
    let needed = plan.connections.min(MAX_CONNECTING * plan.threads) as u64;
    let need = Need::setting("connects under way", "net.core.somaxconn", needed);
    Need { fix: format!("{}, or a slower --connect-rate", need.fix), ..need }
}
