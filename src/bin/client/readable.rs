//! Numbers as people read them: 162,629 and 281 ms.

use indicatif::{HumanCount, HumanFloatCount};

/// A count, with its digits in groups of three.
pub(crate) fn count(count: u64) -> String {
    HumanCount(count).to_string()
}

/// A count with its word, and perhaps with its verb: `1 line is`, `2,000 lines are`.
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A number per second, or any other that is not whole: three significant digits, or all in front
/// of the point.
pub(crate) fn number(number: f64) -> String {
    match number {
        0.0 => "0".to_owned(),
        ..9.995 => format!("{number:.2}"),
        ..99.95 => format!("{number:.1}"),
        _ => count(number.round() as u64),
    }
}

/// A time in microseconds: three significant digits, and the unit that fits.
pub(crate) fn micros(micros: f64) -> String {
    let (time, unit) = in_unit(micros);
    format!("{} {unit}", number(time))
}

/// As [`number`], and precise enough to be compared with a limit.
pub(crate) fn exact(number: f64) -> String {
    HumanFloatCount(number).to_string()
}

/// As [`micros`], and precise enough to be compared with a limit.
pub(crate) fn exact_micros(micros: f64) -> String {
    let (time, unit) = in_unit(micros);
    format!("{} {unit}", exact(time))
}

fn in_unit(micros: f64) -> (f64, &'static str) {
    match micros {
        0.0 => (0.0, "us"),
        ..0.9995 => (micros * 1e3, "ns"),
        ..999.5 => (micros, "us"),
        ..999_500.0 => (micros / 1e3, "ms"),
        _ => (micros / 1e6, "s"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_have_three_digits_and_the_unit_that_fits() {
        for (time, text) in [
            (0.0, "0 us"),
            (0.021, "21.0 ns"),
            (0.9994, "999 ns"),
            (0.9996, "1.00 us"),
            (5.0, "5.00 us"),
            (9.996, "10.0 us"),
            (171.4, "171 us"),
            (999.6, "1.00 ms"),
            (37_584.9, "37.6 ms"),
            (281_280.5, "281 ms"),
            (999_600.0, "1.00 s"),
            (63_000_000.0, "63.0 s"),
            (3_600_000_000.0, "3,600 s"),
        ] {
            assert_eq!(micros(time), text);
        }
    }

    #[test]
    fn numbers_are_grouped_or_have_three_digits() {
        for (rate, text) in [(0.0, "0"), (0.5, "0.50"), (42.55, "42.5"), (99.96, "100")] {
            assert_eq!(number(rate), text);
        }
        assert_eq!((number(4_997.734_2), count(1_304_300)), ("4,998".into(), "1,304,300".into()));
    }

    #[test]
    fn one_is_not_many() {
        let shown = [0, 1, 2, 1000].map(|it| counted(it, "line is", "lines are"));
        assert_eq!(shown, ["0 lines are", "1 line is", "2 lines are", "1,000 lines are"]);
    }

    #[test]
    fn what_is_compared_with_a_limit_is_not_rounded_to_it() {
        assert_eq!(exact_micros(5_004.1), "5.0041 ms");
        assert_eq!((exact(49_999.97), exact(150.0)), ("49,999.97".into(), "150".into()));
    }

    proptest! {
        #[test]
        fn a_text_is_as_near_to_its_time_as_three_digits_can_be(micro in 0.001..1e12_f64) {
            let text = micros(micro).replace(',', "");
            let (number, unit) = text.split_once(' ').expect("a unit");
            let scale = match unit { "ns" => 1e-3, "us" => 1.0, "ms" => 1e3, _ => 1e6 };
            let back = number.parse::<f64>().expect("a number") * scale;
            prop_assert!((back / micro - 1.0).abs() < 0.006, "{} is {}", micro, text);
            prop_assert!(unit == "s" || number.len() <= 4, "{}", text);
        }
    }
}
