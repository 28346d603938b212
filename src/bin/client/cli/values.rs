//! Values of flags, as people write them.

use std::time::Duration;

use reactor_server::load::{STEP, Sources};
use reactor_server::program::target::{self, Target};
use reactor_server::program::units;

/// Messages carry the number of their connection in 32 bits.
pub(super) fn connections(text: &str) -> Result<usize, String> {
    let count = units::positive(text)?;
    u32::try_from(count).map(|count| count as usize).map_err(|_| "too many".to_owned())
}

pub(super) fn pipeline(text: &str) -> Result<usize, String> {
    match units::positive(text)? {
        depth if depth > 1_000_000 => Err("must be at most 1m".to_owned()),
        depth => Ok(depth as usize),
    }
}

pub(super) fn message_size(text: &str) -> Result<usize, String> {
    match units::size(text)? {
        0 => Err("must be at least 1".to_owned()),
        size if size > 1 << 30 => Err("must be at most 1g".to_owned()),
        size => Ok(size),
    }
}

/// Progress is recorded in steps of this length.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    match units::time(text)? {
        interval if interval < STEP => Err(format!("must be at least {STEP:?}")),
        interval => Ok(interval),
    }
}

/// A number, with or without the unit `/s`.
pub(super) fn rate(text: &str) -> Result<u64, String> {
    match units::positive(text.strip_suffix("/s").unwrap_or(text))? {
        rate if rate > 100_000_000 => Err("must be at most 100m".to_owned()),
        rate => Ok(rate),
    }
}

/// An address, with or without a scope, or the first and the last address of a range.
pub(super) fn source(text: &str) -> Result<Sources, String> {
    if text.contains('%') {
        return scoped_source(text);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let address =
        |text: &str| text.trim().parse().map_err(|_| format!("{text:?} is no IP address"));
    let (first, last) = (address(first)?, address(last)?);
    let mut sources = Sources::any();
    match sources.add(first, last) {
        true => Ok(sources),
        false => Err(format!("{first} to {last} is no range of addresses")),
    }
}

/// The system knows the number of a scope, and its name may contain a `-`.
fn scoped_source(text: &str) -> Result<Sources, String> {
    let (host, None) = target::host_and_port(text)? else {
        return Err(format!("{text:?} has a port, which the kernel chooses"));
    };
    let addresses = Target { host, port: 0 }.addresses().unwrap_or_default();
    let address = addresses.first().ok_or(format!("{text:?} is no address of this machine"))?;
    Ok(Sources::one(*address))
}
