//! When each connection of a reactor is drained.

use std::time::Duration;

use crate::net::clock::Tick;
use crate::net::token::Token;

/// Gives each connection of a reactor its turn in a drain: one after the other, evenly over a
/// span of time, so that their peers do not all connect to another server in one instant.
#[derive(Debug, Default)]
pub(crate) struct DrainTurns {
    begin: Tick,
    span: Duration,
    /// How many connections have a turn.
    count: u32,
    /// Those that have not had it. Some may have ended meanwhile.
    waiting: std::vec::IntoIter<Token>,
}

impl DrainTurns {
    /// The turns of these connections in a drain that begins now.
    pub(crate) fn new(begin: Tick, span: Duration, tokens: Vec<Token>) -> DrainTurns {
        DrainTurns { begin, span, count: tokens.len() as u32, waiting: tokens.into_iter() }
    }

    /// When the next connection has its turn. The first has it at once.
    pub(crate) fn next(&self) -> Option<Tick> {
        let waiting = self.waiting.len() as u32;
        let offset = || (self.span / self.count).saturating_mul(self.count - waiting);
        (waiting > 0).then(|| self.begin.after(offset()))
    }

    /// The next connection, if it has its turn by now.
    pub(crate) fn take(&mut self, now: Tick) -> Option<Token> {
        self.next().filter(|&due| due <= now)?;
        self.waiting.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many have had their turn by each of these milliseconds.
    fn taken_by(span: u64, count: u32, times: &[u64]) -> Vec<usize> {
        let tokens = (0..count).map(|slot| Token::new(1, slot)).collect();
        let mut turns = DrainTurns::new(Tick(1000), Duration::from_millis(span), tokens);
        let mut taken = 0;
        let mut take = |time| {
            taken += std::iter::from_fn(|| turns.take(Tick(1000 + time))).count();
            taken
        };
        times.iter().map(|&time| take(time)).collect()
    }

    #[test]
    fn turns_are_spread_evenly() {
        assert_eq!(taken_by(1000, 4, &[0, 249, 250, 749, 750]), [1, 1, 2, 3, 4]);
        assert_eq!(taken_by(10, 1000, &[0, 1, 5, 9, 10]), [1, 101, 501, 901, 1000]);
    }

    #[test]
    fn without_a_span_all_have_their_turn_at_once() {
        assert_eq!(taken_by(0, 3, &[0]), [3]);
        assert_eq!(taken_by(0, 0, &[0]), [0]);
        assert_eq!(taken_by(u64::MAX, 2, &[0, u64::MAX / 4]), [1, 1]);
    }
}
