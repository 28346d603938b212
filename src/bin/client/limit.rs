//! What this machine allows of a plan.

use reactor_server::load::{Plan, option_warnings};
use reactor_server::program::limits::{
    connections_possible, descriptors_needed, raise_descriptor_limit,
};
use reactor_server::program::stream::print_error;

use crate::readable::{count, counted};

/// Lowers the number of connections to what the limit of descriptors allows. Prints that, and which
/// socket options the kernel refuses.
///
/// # Errors
/// It allows none.
pub(crate) fn within_limits(mut plan: Plan, is_quiet: bool) -> anyhow::Result<Plan> {
    if let Err(error) = raise_descriptor_limit()
        && !is_quiet
    {
        print_error(&format!("cannot raise the limit of open descriptors: {error}"));
    }
    let possible = connections_possible(plan.other_descriptors());
    if possible == 0 {
        let needed = descriptors_needed(1, plan.other_descriptors());
        anyhow::bail!("the limit of open descriptors (ulimit -n) must be at least {needed}");
    }
    if plan.connections > possible && !is_quiet {
        print_error(&format!(
            "the limit of open descriptors (ulimit -n) allows {}, not {}: going on with that",
            counted(possible as u64, "connection", "connections"),
            count(plan.connections as u64)
        ));
    }
    plan.connections = plan.connections.min(possible);
    plan.threads = plan.threads.min(plan.connections);
    if !is_quiet {
        option_warnings(&plan).iter().for_each(|warning| print_error(warning));
    }
    Ok(plan)
}
