//! The rates of `client sweep`: a list of rates and of ranges.

use super::values;

/// The rates of a sweep, in the order in which they are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rates(pub(crate) Vec<u64>);

/// Each step keeps its histograms, about a megabyte.
const MOST: usize = 200;

impl Rates {
    /// Parses `1k,2k,5k`, `10k..200k/20`, or both in one list.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(super) fn parse(text: &str) -> Result<Rates, String> {
        let mut rates = Vec::new();
        for part in text.split(',') {
            match part.split_once("..") {
                None => rates.push(values::rate(part.trim())?),
                Some((first, rest)) => rates.extend(range(first, rest)?),
            }
        }
        if rates.len() > MOST {
            Err(format!("must be at most {MOST} rates"))
        } else {
            Ok(Rates(rates))
        }
    }
}

/// The rates of `FIRST..LAST/STEPS`, evenly spaced, with both ends.
fn range(first: &str, rest: &str) -> Result<Vec<u64>, String> {
    let (last, steps) =
        rest.rsplit_once('/').ok_or("a range needs its number of steps, as in 10k..200k/20")?;
    let (first, last) = (values::rate(first.trim())?, values::rate(last.trim())?);
    let steps = steps.trim().parse().ok().filter(|steps| (2..=MOST as u64).contains(steps));
    let steps = steps.ok_or(format!("a range has from 2 to {MOST} steps"))?;
    if last <= first {
        return Err(format!("{last} is not above {first}: a range begins with the lower rate"));
    }
    let gaps = steps - 1;
    if last - first < gaps {
        let most = last - first + 1;
        return Err(format!("{first}..{last} has only {most} rates: write {first}..{last}/{most}"));
    }
    Ok((0..steps).map(|step| first + ((last - first) * step + gaps / 2) / gaps).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Vec<u64> {
        Rates::parse(text).expect(text).0
    }

    #[test]
    fn rates_are_a_list_or_a_range_with_both_ends() {
        assert_eq!(parsed("1k"), [1000]);
        assert_eq!(parsed("5k, 1k,2k/s"), [5000, 1000, 2000]);
        assert_eq!(parsed("10k..50k/5"), [10_000, 20_000, 30_000, 40_000, 50_000]);
        assert_eq!(parsed("1..2/2"), [1, 2]);
        assert_eq!(parsed("100,1k..2k/3,10k"), [100, 1000, 1500, 2000, 10_000]);
        assert_eq!(parsed("1..10/4"), [1, 4, 7, 10]);
        assert_eq!(parsed("1k/s..100m/s/2"), [1000, 100_000_000]);
    }

    #[test]
    fn an_invalid_list_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "expected a number"),
            ("1k,", "expected a number"),
            ("0", "must be at least 1"),
            ("101m", "must be at most 100m"),
            ("10k..200k", "a range needs its number of steps"),
            ("10k..200k/1", "from 2 to 200 steps"),
            ("10k..200k/-5", "from 2 to 200 steps"),
            ("10k..200k/201", "from 2 to 200 steps"),
            ("10..12/9", "10..12 has only 3 rates: write 10..12/3"),
            ("1..2/3", "1..2 has only 2 rates"),
            ("5k..5k/2", "5000 is not above 5000"),
            ("5k..1k/2", "1000 is not above 5000"),
            ("..5k/2", "expected a number"),
            ("1k../2", "expected a number"),
            ("1..2..3/2", "expected a number"),
            ("1k..5k/s", "from 2 to 200 steps"),
            ("1..1000/150,1..1000/150", "at most 200 rates"),
        ] {
            let error = Rates::parse(text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn the_rates_of_a_range_are_evenly_spaced(first in 1..1_000_000_u64, more in 1..1_000_000_u64, steps in 2..=200_u64) {
            let more = more.max(steps - 1);
            let last = first + more;
            let rates = parsed(&format!("{first}..{last}/{steps}"));
            prop_assert_eq!((rates.len() as u64, rates[0], rates[rates.len() - 1]), (steps, first, last));
            let even = more as f64 / (steps - 1) as f64;
            for pair in rates.windows(2) {
                prop_assert!((pair[1] as f64 - pair[0] as f64 - even).abs() <= 1.0, "{:?}", pair);
                prop_assert!(pair[0] < pair[1], "{:?}", pair);
            }
        }
    }
}
