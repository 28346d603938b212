//! The ratio of two servers' figures, with its confidence interval.

use distrs::StudentsT;

/// The ratio of a server's figure to that of the first server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ratio {
    /// The geometric mean of the ratios of the pairs.
    pub(crate) mean: f64,
    /// The confidence interval.
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The probability that no interval of a whole comparison misses its truth.
pub(crate) const CONFIDENCE: f64 = 0.95;
/// The fewest pairs. Of three, one of five intervals is the ratio ± 5.7 standard deviations of a
/// pair, which claims next to nothing.
pub(crate) const LEAST_PAIRS: usize = 4;
/// The resolution of the histograms. Figures that differ by less may be equal.
const RESOLUTION: f64 = 0.001;

impl Ratio {
    /// The interval from runs in pairs, each the figure of the first server and that of the other,
    /// as one of `intervals` that hold together with [`CONFIDENCE`].
    ///
    /// The logarithms of the ratios of the pairs are taken to be a sample of a normal
    /// distribution, and the interval is Student's. Each of several intervals misses its truth
    /// with a probability that is a fraction of the whole (Bonferroni). `None` if there are fewer
    /// than [`LEAST_PAIRS`], or a figure is zero.
    pub(crate) fn of(pairs: &[(f64, f64)], intervals: usize) -> Option<Ratio> {
        let logarithms: Vec<f64> =
            pairs.iter().map(|(first, other)| (other / first).ln()).collect();
        if logarithms.len() < LEAST_PAIRS || !logarithms.iter().all(|it| it.is_finite()) {
            return None;
        }
        let count = logarithms.len() as f64;
        let mean = logarithms.iter().sum::<f64>() / count;
        let squares: f64 = logarithms.iter().map(|it| (it - mean).powi(2)).sum();
        let error = (squares / (count - 1.0) / count).sqrt();
        let missed = (1.0 - CONFIDENCE) / intervals.max(1) as f64;
        let half = StudentsT::ppf(1.0 - missed / 2.0, count - 1.0) * error + RESOLUTION;
        let [mean, low, high] = [mean, mean - half, mean + half].map(f64::exp);
        Some(Ratio { mean, low, high })
    }

    /// Returns whether the servers differ: the interval, as it is shown, does not hold 1.
    pub(crate) fn differs(&self) -> bool {
        let shown = |it: f64| (it * 1000.0).round();
        shown(self.low) > 1000.0 || shown(self.high) < 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_students_of_the_logarithms() {
        let pairs = [(10.0, 11.0), (1.0, 1.2), (100.0, 130.0), (5.0, 6.0)];
        let ratio = Ratio::of(&pairs, 1).expect("a ratio");
        // With three degrees of freedom the quantile of 0.975 is 3.1824, as every table has it.
        for (figure, truth) in [(ratio.mean, 1.1979), (ratio.low, 1.0736), (ratio.high, 1.3366)] {
            assert!((figure - truth).abs() < 2e-4, "{ratio:?}");
        }
        assert!(ratio.differs());
        let narrower = Ratio::of(&[(1.0, 1.2); 4], 1).expect("a ratio");
        assert!(narrower.differs() && narrower.low > 1.19 && narrower.high < 1.21, "{narrower:?}");
    }

    #[test]
    fn what_the_histograms_do_not_resolve_is_no_difference() {
        let ratio = |figure| Ratio::of(&[(1000.0, figure); 20], 1).expect("a ratio");
        assert!(!ratio(1001.0).differs() && !ratio(999.0).differs());
        assert!(ratio(1002.0).differs() && ratio(998.0).differs());
    }

    #[test]
    fn too_few_pairs_and_figures_of_zero_have_no_ratio() {
        assert_eq!(Ratio::of(&[(1.0, 2.0); 3], 1), None);
        assert!(Ratio::of(&[(1.0, 2.0); 4], 1).is_some());
        for zero in [(0.0, 2.0), (1.0, 0.0)] {
            assert_eq!(Ratio::of(&[(1.0, 2.0), zero, (1.0, 2.0), (1.0, 2.0)], 1), None);
        }
    }

    /// Numbers between 0 and 1, the same in each test.
    fn numbers() -> impl FnMut() -> f64 {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    /// The share of comparisons with a claim, each of five runs by five metrics. The second server
    /// has figures that are larger by this factor, and noise of this size and shape.
    fn claims(factor: f64, size: f64, shape: fn(f64) -> f64) -> f64 {
        const COMPARISONS: usize = 4000;
        let mut number = numbers();
        let mut noise = || {
            let normal = (0..12).map(|_| number()).sum::<f64>() - 6.0;
            (size * shape(normal)).exp()
        };
        let mut is_claimed = || {
            let mut pairs = || [(); 5].map(|()| (100.0 * noise(), 100.0 * factor * noise()));
            let ratios = [(); 5].map(|()| Ratio::of(&pairs(), 5).expect("a ratio"));
            ratios.iter().any(Ratio::differs)
        };
        (0..COMPARISONS).filter(|_| is_claimed()).count() as f64 / COMPARISONS as f64
    }

    #[test]
    fn equal_servers_are_claimed_to_differ_in_at_most_one_of_twenty_comparisons() {
        for (size, shape) in
            [(0.01, (|it| it) as fn(f64) -> f64), (0.5, |it| it), (0.05, |it| it * it * it)]
        {
            let claims = claims(1.0, size, shape);
            // Three standard deviations of chance.
            assert!(claims < 0.05 + 0.011, "{claims}");
        }
    }

    #[test]
    fn a_difference_of_several_times_the_noise_is_found() {
        assert!(claims(1.1, 0.01, |it| it) > 0.99);
    }
}
