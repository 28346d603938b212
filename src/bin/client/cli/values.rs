//! Values of flags, as people write them.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::DateTime;
use clap::ValueEnum;
use reactor_server::load::{STEP, Sources, Spread, Think};
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

/// A server that holds a message whole needs as much memory for each connection.
pub(super) const LONGEST_MESSAGE: usize = 1 << 30;

/// One size for all messages, or the least and the most.
pub(super) fn message_sizes(text: &str) -> Result<RangeInclusive<usize>, String> {
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    match (message_size(least)?, message_size(most)?) {
        (least, most) if least > most => Err(format!("{least} is more than {most}")),
        (least, most) => Ok(least..=most),
    }
}

fn message_size(text: &str) -> Result<usize, String> {
    match units::size(text)? {
        0 => Err("must be at least 1".to_owned()),
        size if size > LONGEST_MESSAGE => Err("must be at most 1g".to_owned()),
        size => Ok(size),
    }
}

/// A time, and how think times differ from it.
pub(super) fn think(text: &str) -> Result<Think, String> {
    let (mean, spread) = text.split_once(',').unwrap_or((text, "fixed"));
    let spread = Spread::from_str(spread, false)
        .map_err(|_| format!("{spread:?} is neither fixed nor exp"))?;
    Ok(Think { mean: units::time(mean)?, spread })
}

/// A moment that has not passed: in seconds since 1970, or as RFC 3339 writes it.
pub(super) fn moment(text: &str) -> Result<SystemTime, String> {
    let is_number = text.chars().all(|it| it.is_ascii_digit() || it == '.');
    let since_1970 = text.parse().ok().filter(|_| is_number);
    let since_1970 = since_1970.and_then(|it| Duration::try_from_secs_f64(it).ok());
    let moment = since_1970.and_then(|it| UNIX_EPOCH.checked_add(it));
    let moment = moment.or_else(|| DateTime::parse_from_rfc3339(text).map(SystemTime::from).ok());
    let moment = moment.ok_or(
        "expected seconds since 1970, or a time with its zone such as 2030-01-31T21:00:00Z",
    )?;
    match moment.duration_since(SystemTime::now()) {
        Ok(left) if left > FARTHEST => Err("it is more than 100 years away".to_owned()),
        Ok(_) => Ok(moment),
        Err(past) => Err(format!("it passed {:.1} s ago", past.duration().as_secs_f64())),
    }
}

/// Milliseconds since 1970 are farther away.
const FARTHEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

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

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{SecondsFormat, TimeZone, Utc};

    #[test]
    fn a_moment_is_seconds_since_1970_or_rfc_3339() {
        let soon = SystemTime::now() + Duration::from_secs(3600);
        let millis = soon.duration_since(UNIX_EPOCH).expect("it").as_millis() as u64;
        let date = Utc.timestamp_millis_opt(millis as i64).single().expect("a date");
        let expected = UNIX_EPOCH + Duration::from_millis(millis);
        let seconds = format!("{}.{:03}", millis / 1000, millis % 1000);
        let rfc_3339 = date.to_rfc3339_opts(SecondsFormat::Millis, true);
        let zoned = date.to_rfc3339().replace("+00:00", "-00:00");
        for text in [seconds, rfc_3339, zoned] {
            let moment = moment(&text).expect("a moment");
            let off = moment.duration_since(expected).unwrap_or_else(|error| error.duration());
            // Seconds are read as an f64.
            assert!(off < Duration::from_micros(1), "{text}: {off:?}");
        }
    }

    #[test]
    fn what_is_no_moment_to_come_is_refused() {
        for text in ["", ".", "soon", "-1", "1e12", "nan", "21:00", "2030-01-31 21:00"] {
            assert!(moment(text).expect_err("it").starts_with("expected seconds"), "{text}");
        }
        for text in ["0", "1000000000", "1999-12-31T23:59:59.5+01:00"] {
            assert!(moment(text).expect_err("it").starts_with("it passed"), "{text}");
        }
        for text in ["9999-12-31T23:59:59Z", "41024448000000"] {
            assert_eq!(moment(text), Err("it is more than 100 years away".to_owned()));
        }
    }
}
