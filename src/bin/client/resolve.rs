//! Finds the server's addresses, and chooses one.

use std::io;
use std::time::Duration;

use anyhow::{Context, bail};
use reactor_server::load::Plan;
use reactor_server::program::stream::print_error;
use reactor_server::program::target::Target;
use socket2::{Domain, Socket, Type};

use crate::cli::LoadArgs;

/// Returns the plan for the first address of the server that accepts a connection, and prints
/// which that is. If there is only one address, the client does not connect to find out.
///
/// # Errors
/// There is no usable address.
pub(crate) fn plan_for_answering(args: &LoadArgs, target: &Target) -> anyhow::Result<Plan> {
    let mut plans = plans(args, target)?;
    let (chosen, refusals) = match &plans[..] {
        [_] => (0, String::new()),
        plans => first_to_answer(plans),
    };
    let plan = plans.swap_remove(chosen);
    if target.host.is_name() && !args.is_quiet() {
        print_error(&format!("{target} is {}{refusals}", plan.target));
    }
    Ok(plan)
}

/// Returns the plan for the first address of the server, without connecting.
///
/// # Errors
/// There is no usable address.
pub(crate) fn plan_for_first(args: &LoadArgs, target: &Target) -> anyhow::Result<Plan> {
    Ok(plans(args, target)?.swap_remove(0))
}

/// A plan for each address that can be reached from the source addresses; at least one.
fn plans(args: &LoadArgs, target: &Target) -> anyhow::Result<Vec<Plan>> {
    let addresses = target.addresses().with_context(|| format!("cannot find {}", target.host))?;
    let plans = addresses.into_iter().map(|address| args.plan(address));
    let plans: Vec<_> = plans.filter(|it| it.sources.match_family(it.target.ip())).collect();
    if plans.is_empty() {
        bail!("{} has no address of the family of --source", target.host);
    }
    Ok(plans)
}

/// The number of the first plan whose server accepts a connection, and why others do not. If
/// none does it is the first, so that the results say how connections fail.
fn first_to_answer(plans: &[Plan]) -> (usize, String) {
    let mut refusals = String::new();
    for (number, plan) in plans.iter().enumerate() {
        match probe(plan) {
            Ok(()) => return (number, refusals),
            Err(error) => refusals += &format!("; {} does not answer: {error}", plan.target),
        }
    }
    (0, refusals)
}

/// Opens a connection and resets it.
fn probe(plan: &Plan) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(plan.target), Type::STREAM, None)?;
    if let Some(source) = plan.sources.nth(0) {
        socket.bind(&source.into())?;
    }
    socket.connect_timeout(&plan.target.into(), plan.connect_timeout)?;
    // The kernel may have given the client the very port that nobody listens on. A server that is
    // quick to reset is another peer.
    let own = socket.local_addr()?;
    socket.set_linger(Some(Duration::ZERO))?;
    match socket.peer_addr().is_ok_and(|peer| peer == own) {
        true => Err(io::ErrorKind::ConnectionRefused.into()),
        false => Ok(()),
    }
}
