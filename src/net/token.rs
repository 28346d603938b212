//! Slot and generation in 64 bits.

use std::fmt;

/// Names one registered source for exactly as long as that source lives.
///
/// ```text
/// 63          32 31           0
/// | generation  |    slot     |
/// ```
///
/// Slots are used again, generations are not: a token that outlives its connection (in an
/// event of the same wait, or in a worker's late reply) matches nothing, instead of the
/// slot's next tenant. Epoll carries it as its 64 bits of user data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(u64);

impl Token {
    /// The thread's own waker: it has mail.
    pub const WAKE: Token = Token::new(0, 0);
    /// The listening socket.
    pub const LISTENER: Token = Token::new(0, 1);
    /// The signals that ask the program to end.
    pub const SIGNALS: Token = Token::new(0, 2);

    /// Generation 0 is kept for the constants above; a slab starts at 1.
    pub const fn new(generation: u32, slot: u32) -> Token {
        Token((generation as u64) << 32 | slot as u64)
    }

    /// The slot of the slab.
    pub const fn slot(self) -> u32 {
        self.0 as u32
    }

    /// The generation: which of the tenants of that slot.
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u64) -> Token {
        Token(bits)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}.{})", self.slot(), self.generation())
    }
}
