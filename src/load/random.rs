//! Numbers drawn from fixed seeds, so that every run draws the same.

/// Draws a number for message `number` of a connection. Draws with different seeds do not
/// depend on each other.
pub(crate) fn draw(seed: u64, connection: u32, number: u64) -> u64 {
    mix(mix(seed ^ u64::from(connection)) ^ number)
}

/// SplitMix64, whose every output bit depends on every input bit.
/// Source: Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014.
pub(crate) fn mix(index: u64) -> u64 {
    let mut z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Turns a draw into an exponentially distributed number of mean 1.
pub(crate) fn exponential(draw: u64) -> f64 {
    // From 0 to less than 1, in steps that an `f64` holds exactly.
    let uniform = (draw >> 11) as f64 / (1_u64 << 53) as f64;
    -(-uniform).ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share beyond x is e^-x, and the tolerance is four standard deviations.
    #[test]
    fn exponential_numbers_have_the_shares_of_their_distribution() {
        const COUNT: u64 = 100_000;
        let all: Vec<_> =
            (0..COUNT).map(|index| exponential(draw(1, index as u32 % 7, index))).collect();
        let mean = all.iter().sum::<f64>() / COUNT as f64;
        assert!((mean - 1.0).abs() < 4.0 / (COUNT as f64).sqrt(), "{mean}");
        for x in [0.1, 0.5, 1.0, 2.0, 5.0] {
            let share = all.iter().filter(|&&it| it > x).count() as f64 / COUNT as f64;
            let expected = f64::exp(-x);
            let deviation = (expected * (1.0 - expected) / COUNT as f64).sqrt();
            assert!((share - expected).abs() < 4.0 * deviation, "{share} beyond {x}");
        }
    }

    #[test]
    fn every_draw_has_a_finite_exponential_number() {
        assert_eq!(exponential(0), 0.0);
        assert!((36.0..37.0).contains(&exponential(u64::MAX)));
    }
}
