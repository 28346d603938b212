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

/// Parses a duration in `us`, `ms`, `s`, `m` or `h`, such as `1.5ms` or `1m 30s`.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn duration(text: &str) -> Result<Duration, String> {
    // To humantime it is a month, which nobody means who also writes sizes such as 1M.
    if text.contains('M') {
        return Err("M is no unit of time: write m for minutes".to_owned());
    }
    let mut sum = Duration::ZERO;
    for term in terms(text) {
        let term = humantime::parse_duration(term)
            .map_err(|error| format!("{error} (try 500ms, 10s or 1m)"))?;
        sum = sum.saturating_add(term);
    }
    if sum > LONGEST { Err("must be at most 10 years".to_owned()) } else { Ok(sum) }
}

/// The terms of a sum: each number with its unit. They are added here, because humantime
/// panics on some sums of more than `u64::MAX` seconds.
fn terms(text: &str) -> impl Iterator<Item = &str> {
    let starts = text.char_indices().filter_map(|(at, it)| {
        let follows_unit = text[..at].trim_end().ends_with(char::is_alphabetic);
        (follows_unit && it.is_ascii_digit()).then_some(at)
    });
    let ends = starts.clone().chain([text.len()]);
    [0].into_iter().chain(starts).zip(ends).map(|(start, end)| &text[start..end])
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

/// Parses a percentile: digits, and a fraction if there is one.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn percentile(text: &str) -> Result<f64, String> {
    let is_plain = text.chars().all(|it| it.is_ascii_digit() || it == '.');
    match text.parse() {
        Ok(value) if is_plain && (0.0..=100.0).contains(&value) => Ok(value),
        _ => Err("expected a number from 0 to 100".to_owned()),
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
    use proptest::collection::vec;
    use proptest::prelude::*;

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
    fn a_percentile_is_a_plain_number_from_0_to_100() {
        assert_eq!((percentile("99.9"), percentile("0")), (Ok(99.9), Ok(0.0)));
        for text in ["", "-1", "-0", "+5", "1e1", "NaN", "inf", "100.1", "50%", " 50"] {
            assert!(percentile(text).is_err(), "{text}");
        }
    }

    /// Units and their nanoseconds.
    const UNITS: [(&str, u128); 5] = [
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];

    /// A term as text, and its nanoseconds times 1000. Its fraction is in eighths, so that it is
    /// whole nanoseconds, and in hours whole seconds, as humantime wants.
    fn term() -> impl Strategy<Value = (String, u128)> {
        let number = prop_oneof![0..1000_u64, 0..=u64::MAX];
        (number, 0..8_u32, 0..UNITS.len(), 0..4_usize).prop_map(|(whole, eighths, unit, shape)| {
            let part = 125 * eighths;
            let ((unit, nanos), exact) = (UNITS[unit], u128::from(whole) * 1000);
            let (number, exact) = match shape {
                0 => (format!("{whole}.{part:03}"), exact + u128::from(part)),
                1 => (format!("{whole} "), exact),
                _ => (whole.to_string(), exact),
            };
            (format!("{number}{unit}"), exact * nanos)
        })
    }

    proptest! {
        #[test]
        fn a_duration_is_the_sum_of_its_terms(
            terms in vec(term(), 1..4), gap in prop_oneof![Just(""), Just(" ")],
        ) {
            let texts: Vec<_> = terms.iter().map(|it| it.0.as_str()).collect();
            let text = texts.join(gap);
            let sum = terms.iter().map(|it| it.1).sum::<u128>() / 1000;
            match duration(&text) {
                Ok(time) => prop_assert_eq!(time.as_nanos(), sum, "{}", text),
                // Beyond about a century an intermediate result may be too large for humantime.
                Err(error) => prop_assert!(sum > LONGEST.as_nanos(), "{}: {}", text, error),
            }
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in "[0-9.a-zA-Zµ +∞-]{0,40}|.{0,40}") {
            let _ = (duration(&text), timeout(&text), size(&text), positive(&text));
            let _ = percentile(&text);
        }
    }

    #[test]
    fn a_duration_too_long_for_any_clock_is_refused() {
        for text in ["18446744073709551615s1000000000ns", "18446744073709551615h", "11years"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in
            ["", " ", "5", "s", "-1s", "+5s", "1e3s", "∞s", "1M", "5.s", ".5s", "1s,", "1s 5"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_timeout_may_be_off_but_not_zero() {
        assert_eq!(timeout("off"), Ok(Timeout(None)));
        assert_eq!(timeout("250us"), Ok(Timeout(Some(Duration::from_micros(250)))));
        assert!(timeout("0s").is_err());
        assert!(duration("soon").is_err() && duration("11years").is_err());
    }
}
