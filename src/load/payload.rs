//! The bytes of each message, and of the reply to it.

use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};

use crate::load::plan::{Plan, Verify};
use crate::wire::codec::{Codec, Framing};

/// The bytes of all messages.
///
/// ```text
/// | connection, 8 hex digits | number, 8 hex digits | noise |
/// ```
///
/// A message too short for the head consists of noise. The noise is a slice of one
/// long block, at an offset that depends on both numbers. A byte that is lost, doubled,
/// swapped or from another message therefore does not match, and the head of a wrong
/// message tells where it belongs.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) codec: Codec,
    size: usize,
    prefix: Vec<u8>,
    verify: Verify,
    noise: Vec<u8>,
    /// Added to connection numbers, so that two clients of one server do not send the
    /// same messages.
    base: u32,
}

const HEAD: usize = 16;
/// How many offsets the noise of a message may have.
const OFFSETS: usize = 4096;

impl Payload {
    pub(crate) fn new(plan: &Plan) -> Payload {
        let framing = match &plan.framing {
            Framing::Raw => Framing::Fixed(plan.size),
            framing => framing.clone(),
        };
        let is_allowed = |byte: &u8| match &plan.framing {
            Framing::Delimited(delimiter) => !delimiter.contains(byte),
            _ => true,
        };
        let noise = (0..).flat_map(|index| mix(index).to_le_bytes()).filter(is_allowed);
        Payload {
            codec: Codec::new(framing, plan.reply_prefix.len() + plan.size),
            size: plan.size,
            prefix: plan.reply_prefix.clone(),
            verify: plan.verify,
            noise: noise.take(OFFSETS + plan.size).collect(),
            base: RandomState::new().hash_one(std::process::id()) as u32,
        }
    }

    /// Appends message `number` of a connection to `out`, framed.
    pub(crate) fn encode(&self, connection: u32, number: u64, out: &mut Vec<u8>) {
        let head = self.head(connection, number);
        self.codec.encode(&[&head[..self.head_size()], self.noise_of(connection, number)], out);
    }

    /// The length of a message and of a reply on the wire.
    pub(crate) fn lengths(&self) -> (u64, u64) {
        let mut frame = Vec::new();
        self.codec.encode(&[], &mut frame);
        let message = frame.len() + self.size;
        (message as u64, (message + self.prefix.len()) as u64)
    }

    /// Compares `reply` with the reply expected to message `number`.
    ///
    /// # Errors
    /// A description of the difference.
    pub(crate) fn verify(&self, connection: u32, number: u64, reply: &[u8]) -> Result<(), String> {
        let expected = self.prefix.len() + self.size;
        match self.verify {
            Verify::Off => Ok(()),
            _ if reply.len() != expected => {
                Err(format!("reply {number} has {} bytes instead of {expected}", reply.len()))
            }
            Verify::Length => Ok(()),
            Verify::Full => self.compare(connection, number, reply),
        }
    }

    fn compare(&self, connection: u32, number: u64, reply: &[u8]) -> Result<(), String> {
        let head = self.head(connection, number);
        let parts =
            [&self.prefix[..], &head[..self.head_size()], self.noise_of(connection, number)];
        let mut rest = reply;
        for part in parts {
            match rest.strip_prefix(part) {
                Some(after) => rest = after,
                None => return Err(difference(number, reply, &parts.concat())),
            }
        }
        Ok(())
    }

    fn head_size(&self) -> usize {
        if self.size < HEAD { 0 } else { HEAD }
    }

    fn head(&self, connection: u32, number: u64) -> [u8; HEAD] {
        let connection = self.base.wrapping_add(connection);
        let both = u64::from(connection) << 32 | number & u64::from(u32::MAX);
        std::array::from_fn(|digit| b"0123456789abcdef"[(both >> (60 - 4 * digit)) as usize & 15])
    }

    fn noise_of(&self, connection: u32, number: u64) -> &[u8] {
        let connection = self.base.wrapping_add(connection);
        let offset = mix(u64::from(connection) << 32 ^ number) as usize % OFFSETS;
        &self.noise[offset..][..self.size - self.head_size()]
    }
}

/// Describes the first difference between two messages of one length.
fn difference(number: u64, reply: &[u8], expected: &[u8]) -> String {
    let at = reply.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let (expected, got) = (hex(&expected[at..]), hex(&reply[at..]));
    format!("reply {number} differs at byte {at}: expected {expected}, got {got}")
}

/// The first bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(16).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// SplitMix64, whose every output bit depends on every input bit.
/// Source: Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014.
fn mix(index: u64) -> u64 {
    let mut z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
