//! The limit of descriptors, which a plan must keep to.

use reactor_server::load::Plan;
use reactor_server::program::limits::{
    connections_possible, descriptors_needed, raise_descriptor_limit,
};
use reactor_server::program::stream::print_error;

/// Lowers the number of connections to what the limit of descriptors allows, and prints that.
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
            "the limit of open descriptors (ulimit -n) allows {possible} connections, not {}: \
             going on with that",
            plan.connections
        ));
    }
    plan.connections = plan.connections.min(possible);
    plan.threads = plan.threads.min(plan.connections);
    Ok(plan)
}
