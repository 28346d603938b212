//! The bytes of each message, and of the reply to it.

use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};

use crate::load::body::Body;
use crate::load::plan::{Plan, Verify};
use crate::load::random::{draw, mix};
use crate::wire::codec::{Codec, Frame, Framing, TooLong};

/// The bytes of all messages.
///
/// ```text
/// | connection, 8 hex digits | number, 8 hex digits | noise |
/// ```
///
/// A message too short for the head consists of noise. The noise is a slice of one
/// long block, at an offset that depends on both numbers. A byte that is lost, doubled,
/// swapped or from another message therefore does not match, and the head of a wrong
/// message tells where it belongs. If the plan gives the bytes, all messages are the same.
#[derive(Debug)]
pub(crate) struct Payload {
    codec: Codec,
    /// Whether replies are told apart by their lengths alone, which are those of the messages.
    pub(crate) is_raw: bool,
    /// Whether replies are verified part by part.
    pub(crate) is_stream: bool,
    body: Body,
    prefix: Vec<u8>,
    verify: Verify,
    noise: Vec<u8>,
    /// Added to connection numbers, so that two clients of one server do not send the
    /// same messages.
    base: u32,
}

const HEAD: usize = 16;
/// By how much a reply that is not verified may be longer than one that is: the client holds no
/// more of it.
const LOOSE: usize = 16 * 1024 * 1024;
/// How many offsets the noise of a message may have.
const OFFSETS: usize = 4096;
/// Chooses the sizes of messages.
const SIZES: u64 = 0x5175_e500_0000_0000;

impl Payload {
    pub(crate) fn new(plan: &Plan) -> Payload {
        let longest = plan.body.longest();
        let is_allowed = |byte: &u8| match &plan.framing {
            Framing::Delimited(delimiter) => !delimiter.contains(byte),
            _ => true,
        };
        let longest_reply = plan.reply_prefix.len() + longest;
        let loose = if plan.verify == Verify::Off { LOOSE } else { 0 };
        let noise = (0..).flat_map(|index| mix(index).to_le_bytes()).filter(is_allowed);
        Payload {
            codec: Codec::new(plan.framing.clone(), longest_reply + loose),
            is_raw: plan.framing == Framing::Raw,
            is_stream: plan.stream,
            body: plan.body.clone(),
            prefix: plan.reply_prefix.clone(),
            verify: plan.verify,
            noise: noise.take(OFFSETS + longest).collect(),
            base: RandomState::new().hash_one(std::process::id()) as u32,
        }
    }

    /// Appends message `number` of a connection to `out`, framed.
    pub(crate) fn encode(&self, connection: u32, number: u64, out: &mut Vec<u8>) {
        let size = self.size(connection, number);
        let (head, rest) = self.parts(connection, number, size);
        self.codec.encode(&[&head[..size - rest.len()], rest], out);
    }

    /// The first reply of `bytes`, which is the one to message `number`, or `None` while it is
    /// incomplete. The first `searched` bytes hold no whole reply.
    ///
    /// # Errors
    /// [`TooLong`], as soon as that is known.
    pub(crate) fn decode<'a>(
        &self,
        connection: u32,
        number: u64,
        bytes: &'a [u8],
        searched: usize,
    ) -> Result<Option<Frame<'a>>, TooLong> {
        if !self.is_raw {
            return self.codec.decode(bytes, searched);
        }
        let body = bytes.get(..self.size(connection, number));
        Ok(body.map(|body| Frame { body, length: body.len() }))
    }

    /// Returns whether bytes that belong to no reply are wrong.
    pub(crate) fn refuses_surplus(&self) -> bool {
        self.verify != Verify::Off
    }

    /// Compares `reply` with the reply expected to message `number`.
    ///
    /// # Errors
    /// A description of the difference.
    pub(crate) fn verify(&self, connection: u32, number: u64, reply: &[u8]) -> Result<(), String> {
        let expected = self.prefix.len() + self.size(connection, number);
        match self.verify {
            Verify::Off => Ok(()),
            _ if reply.len() != expected => {
                Err(format!("reply {number} has {} bytes instead of {expected}", reply.len()))
            }
            Verify::Length => Ok(()),
            Verify::Full => self.compare(connection, number, reply),
        }
    }

    /// Compares a part of the reply to message `number`, which begins at this byte of it.
    ///
    /// # Errors
    /// A description of the difference.
    pub(crate) fn verify_part(
        &self,
        connection: u32,
        number: u64,
        at: usize,
        part: &[u8],
    ) -> Result<(), String> {
        if self.verify != Verify::Full {
            return Ok(());
        }
        let size = self.size(connection, number);
        let (head, rest) = self.parts(connection, number, size);
        let (head, behind) = (&head[..size - rest.len()], at.saturating_sub(size - rest.len()));
        let (in_head, in_rest) = part.split_at(part.len().min(head.len().saturating_sub(at)));
        let head = &head[at.min(head.len())..][..in_head.len()];
        let rest = &rest[behind..][..in_rest.len()];
        match in_head == head && in_rest == rest {
            true => Ok(()),
            false => Err(difference(number, at, part, &[head, rest].concat())),
        }
    }

    /// Compares a reply of the right length.
    fn compare(&self, connection: u32, number: u64, reply: &[u8]) -> Result<(), String> {
        let size = reply.len() - self.prefix.len();
        let (head, rest) = self.parts(connection, number, size);
        let parts = [&self.prefix[..], &head[..size - rest.len()], rest];
        let mut rest = reply;
        for part in parts {
            match rest.strip_prefix(part) {
                Some(after) => rest = after,
                None => return Err(difference(number, 0, reply, &parts.concat())),
            }
        }
        Ok(())
    }

    /// How many bytes message `number` has.
    pub(crate) fn size(&self, connection: u32, number: u64) -> usize {
        match &self.body {
            Body::Given(bytes) => bytes.len(),
            Body::Drawn(sizes) if sizes.start() == sizes.end() => *sizes.start(),
            Body::Drawn(sizes) => {
                let count = sizes.end() - sizes.start() + 1;
                sizes.start() + (draw(SIZES, connection, number) % count as u64) as usize
            }
        }
    }

    /// The head of a message, and the rest, which may be all of it.
    fn parts(&self, connection: u32, number: u64, size: usize) -> ([u8; HEAD], &[u8]) {
        if let Body::Given(bytes) = &self.body {
            return ([0; HEAD], bytes);
        }
        let rest = if size < HEAD { size } else { size - HEAD };
        let connection = self.base.wrapping_add(connection);
        let both = u64::from(connection) << 32 | number & u64::from(u32::MAX);
        let digit = |digit| b"0123456789abcdef"[(both >> (60 - 4 * digit)) as usize & 15];
        let offset = mix(u64::from(connection) << 32 ^ number) as usize % OFFSETS;
        (std::array::from_fn(digit), &self.noise[offset..][..rest])
    }
}

/// Describes the first difference between two messages of one length, or between parts of them
/// that begin at byte `start`.
fn difference(number: u64, start: usize, reply: &[u8], expected: &[u8]) -> String {
    let at = reply.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let (expected, got) = (hex(&expected[at..]), hex(&reply[at..]));
    format!("reply {number} differs at byte {}: expected {expected}, got {got}", start + at)
}

/// The first bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(16).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
