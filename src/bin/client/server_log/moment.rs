//! The time of a line of the log.

use std::fmt;

use chrono::{DateTime, NaiveDate};

/// The time of a line of the log, in milliseconds. It is local time as the server wrote it,
/// counted as if it were UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(i64);

/// `2026-05-04 21:45:21`. The original program writes no milliseconds.
const LENGTH: usize = 19;

impl Moment {
    /// Parses the time that a line begins with, and returns what follows it.
    pub(super) fn at_start_of(line: &str) -> Option<(Moment, &str)> {
        let (time, rest) = line.split_at_checked(LENGTH)?;
        let bytes = time.as_bytes();
        let number = |from: usize, to: usize| digits(&bytes[from..to]);
        let marks = [(4, b'-'), (7, b'-'), (10, b' '), (13, b':'), (16, b':')];
        if marks.iter().any(|&(at, mark)| bytes[at] != mark) {
            return None;
        }
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let date = NaiveDate::from_ymd_opt(year as i32, month, day)?;
        let (millis, rest) = match rest.strip_prefix('.') {
            None => (0, rest),
            Some(rest) => (digits(rest.as_bytes().get(..3)?)?, &rest[3..]),
        };
        let at = date.and_hms_milli_opt(hour, minute, second, millis)?.and_utc();
        Some((Moment(at.timestamp_millis()), rest))
    }

    /// The milliseconds since an earlier moment; 0 if it is later.
    pub(super) fn millis_since(self, earlier: Moment) -> u64 {
        self.0.saturating_sub(earlier.0).max(0) as u64
    }

    /// The moment that was this number of milliseconds before.
    pub(super) fn minus(self, millis: u64) -> Moment {
        Moment(self.0.saturating_sub_unsigned(millis))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_millis(self.0) {
            Some(time) => write!(f, "{}", time.format("%Y-%m-%d %H:%M:%S%.3f")),
            // Earlier than the calendar goes back: a line has a wrong `open=`.
            None => f.write_str("unknown"),
        }
    }
}

/// The number that these digits are.
fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Moment {
        Moment::at_start_of(text).expect("a time").0
    }

    #[test]
    fn times_have_milliseconds_or_none_and_cross_midnight() {
        let (before, after) = (moment("2024-02-29 23:59:59.500"), moment("2024-03-01 00:00:02"));
        assert_eq!((after.millis_since(before), before.millis_since(after)), (2500, 0));
        assert_eq!(after.minus(2500), before);
        assert_eq!(before.to_string(), "2024-02-29 23:59:59.500");
        assert_eq!(Moment::at_start_of("2024-03-01 00:00:02 x"), Some((after, " x")));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "2023-02-29 23:59:59.500",
            "2024-02-29 24:00:00.000",
            "2024-02-29 23:59:5",
            "2024-02-29 23:59:59.50",
            "2024-02-29T23:59:59.500",
            "2024-02-29 2\u{e9}:59:59.500",
            "+024-02-29 23:59:59.500",
        ] {
            assert_eq!(Moment::at_start_of(text), None, "{text}");
        }
    }
}
