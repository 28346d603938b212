//! Streams of bytes that depend on a key and on the position, so that a byte that is
//! lost, doubled, moved or from another stream is noticed.

use anyhow::{Result, bail};

use crate::splitmix::mix;

/// Writes the bytes of stream `key` from `position` on.
pub(crate) fn fill(key: u64, position: u64, bytes: &mut [u8]) {
    let mut filled = 0;
    while filled < bytes.len() {
        let at = position + filled as u64;
        let word = &word_of(key, at / 8)[at as usize % 8..];
        let count = word.len().min(bytes.len() - filled);
        bytes[filled..][..count].copy_from_slice(&word[..count]);
        filled += count;
    }
}

/// Compares bytes with stream `key` from `position` on.
pub(crate) fn check(key: u64, position: u64, bytes: &[u8]) -> Result<()> {
    let mut expected = vec![0; bytes.len()];
    fill(key, position, &mut expected);
    match expected.iter().zip(bytes).position(|(expected, byte)| expected != byte) {
        None => Ok(()),
        Some(offset) => {
            let (byte, expected) = (bytes[offset], expected[offset]);
            bail!("stream {key}: byte {} is {byte}, not {expected}", position + offset as u64)
        }
    }
}

/// Eight bytes of stream `key`.
fn word_of(key: u64, number: u64) -> [u8; 8] {
    mix(key.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number).to_le_bytes()
}
