//! Units on the command line: `64k`, `10s`, `off`.

use std::time::Duration;

/// Parses a number of bytes: `k`, `m` and `g` are powers of 1024.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn size(text: &str) -> Result<usize, String> {
    let bytes = scaled(text, 1024)?;
    usize::try_from(bytes).map_err(|_| "too large".to_owned())
}

/// Parses a count: `k`, `m` and `g` are powers of 1000.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn count(text: &str) -> Result<u64, String> {
    scaled(text, 1000)
}

/// Parses a [`count`] of at least 1.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn positive(text: &str) -> Result<u64, String> {
    match count(text)? {
        0 => Err("must be at least 1".to_owned()),
        count => Ok(count),
    }
}

/// Parses a duration in `us`, `ms`, `s`, `m` or `h`, such as `1m 30s`.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time > LONGEST => Err("must be at most 10 years".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(format!("{error} (try 500ms, 10s or 1m)")),
    }
}

/// The longest duration, so that the clock can represent the time that it ends.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// Parses a [`duration`] of more than 0.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be more than 0".to_owned()),
        time => Ok(time),
    }
}

/// Parses a timeout: a [`time`], or `off`.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn timeout(text: &str) -> Result<Timeout, String> {
    match text {
        "off" => Ok(Timeout(None)),
        text => time(text).map(|time| Timeout(Some(time))),
    }
}

/// A timeout, or `None` if it is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout(pub Option<Duration>);

fn scaled(text: &str, thousand: u64) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let power = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        unit => return Err(format!("unknown unit {unit:?}, expected k, m or g")),
    };
    let number: u64 =
        digits.parse().map_err(|_| "expected a number, such as 24 or 64k".to_owned())?;
    number.checked_mul(thousand.pow(power)).ok_or_else(|| "too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary_and_counts_decimal() {
        assert_eq!(size("64k"), Ok(65_536));
        assert_eq!(size("1M"), Ok(1 << 20));
        assert_eq!(count("100k"), Ok(100_000));
        assert_eq!(count("3000000"), Ok(3_000_000));
    }

    #[test]
    fn an_invalid_number_is_refused() {
        for text in ["", "k", "-1", "1.5k", "5x", "99999999999g"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!(positive("0"), Err("must be at least 1".to_owned()));
    }

    #[test]
    fn a_timeout_may_be_off_but_not_zero() {
        assert_eq!(timeout("off"), Ok(Timeout(None)));
        assert_eq!(timeout("250us"), Ok(Timeout(Some(Duration::from_micros(250)))));
        assert!(timeout("0s").is_err());
        assert!(duration("soon").is_err() && duration("11years").is_err());
    }
}
