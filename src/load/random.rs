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
