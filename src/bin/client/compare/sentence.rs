//! A comparison of two servers, as a sentence.

use super::metric::Metric;
use super::ratio::{LEAST_PAIRS, Ratio};

/// What the ratios say about a server beside the first one. It claims a difference only where the
/// interval does not hold 1.
pub(super) fn sentence(first: &str, other: &str, ratios: &[(Metric, Ratio)]) -> String {
    let (differing, others): (Vec<_>, Vec<_>) = ratios.iter().partition(|it| it.1.differs());
    let claims: Vec<_> =
        differing.iter().map(|(metric, ratio)| claim(*metric, ratio, first)).collect();
    let same: Vec<_> = others.iter().map(|(metric, _)| metric.name()).collect();
    match (&claims[..], &same[..]) {
        ([], []) => {
            format!(
                "{other} and {first} are not compared: too few runs for an interval, which takes \
                 {LEAST_PAIRS} of each"
            )
        }
        ([], same) => {
            format!(
                "{other} and {first} do not differ by more than these runs do: {}",
                enumerated(same)
            )
        }
        (claims, []) => format!("{other} {}", enumerated(claims)),
        (claims, same) => {
            let verb = if same.len() == 1 { "does" } else { "do" };
            let (claims, same) = (enumerated(claims), enumerated(same));
            format!("{other} {claims}; their {same} {verb} not differ by more than these runs do")
        }
    }
}

fn claim(metric: Metric, ratio: &Ratio, first: &str) -> String {
    let times = format!("{} times", shown(ratio));
    match metric {
        Metric::Rate => format!("answered {times} as many messages per second as {first}"),
        Metric::Percentile(it) => format!("had {times} the p{it} of {first}"),
        Metric::Cpu => format!("took {times} as much CPU per message as {first}"),
    }
}

/// A ratio with its interval.
pub(crate) fn shown(ratio: &Ratio) -> String {
    let [mean, low, high] = [ratio.mean, ratio.low, ratio.high].map(|it| match it {
        it if it < 10.0 => format!("{it:.3}"),
        it => format!("{it:.1}"),
    });
    format!("{mean} ({low} to {high})")
}

/// `a, b and c`.
pub(crate) fn enumerated(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(mean: f64, low: f64, high: f64) -> Ratio {
        Ratio { mean, low, high }
    }

    #[test]
    fn only_an_interval_without_1_is_a_claim() {
        let (same, more, less) =
            (ratio(1.2, 0.99, 1.4), ratio(1.08, 1.06, 1.1), ratio(0.5, 0.4, 0.6));
        let (rate, p99, cpu) = (Metric::Rate, Metric::Percentile(99.0), Metric::Cpu);
        let sentence = |ratios: &[(Metric, Ratio)]| sentence("ours", "tokio", ratios);
        assert_eq!(
            sentence(&[(rate, same), (cpu, more)]),
            "tokio took 1.080 (1.060 to 1.100) times as much CPU per message as ours; \
             their rate does not differ by more than these runs do"
        );
        assert_eq!(
            sentence(&[(rate, less), (p99, more), (cpu, same)]),
            "tokio answered 0.500 (0.400 to 0.600) times as many messages per second as ours and \
             had 1.080 (1.060 to 1.100) times the p99 of ours; their CPU per message does not \
             differ by more than these runs do"
        );
        assert_eq!(
            sentence(&[(rate, same), (p99, same), (cpu, same)]),
            "tokio and ours do not differ by more than these runs do: rate, p99 and CPU per message"
        );
        assert_eq!(
            sentence(&[]),
            "tokio and ours are not compared: too few runs for an interval, which takes 4 of each"
        );
    }
}
