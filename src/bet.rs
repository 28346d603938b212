//! What is worth trying only while it pays.

/// A bet that is placed as long as it has lately been won twice out of three times, or
/// so; else now and then, to see whether times have changed, and the more seldom the
/// longer they have not.
#[derive(Debug)]
pub(crate) struct Bet {
    /// Won by winning, lost twice as fast by losing.
    credit: i8,
    /// How many chances are let go between two tries.
    gap: u16,
    /// How many are still to be let go.
    left: u16,
}

/// What a try came to, in credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It has saved something.
    Won = 2,
    /// It has cost as much as it has saved.
    Even = -1,
    /// It was in vain.
    Lost = -4,
}

/// So much credit that a handful of losses in a row end it.
const MOST_CREDIT: i8 = 16;
/// One chance in so many is not noticed.
const FIRST_GAP: u16 = 64;
/// Few enough for a change to be noticed within a fraction of a second of full load.
const LAST_GAP: u16 = 4096;

impl Bet {
    /// A bet with which nobody has any experience: it starts with some credit.
    pub(crate) fn new() -> Bet {
        Bet { credit: MOST_CREDIT, gap: FIRST_GAP, left: 0 }
    }

    /// Whether to place it, this chance.
    pub(crate) fn is_on(&mut self) -> bool {
        if self.credit > 0 || self.left == 0 {
            return true;
        }
        self.left -= 1;
        false
    }

    /// It was placed, and this came of it.
    pub(crate) fn settle(&mut self, outcome: Outcome) {
        self.credit = (self.credit + outcome as i8).clamp(0, MOST_CREDIT);
        if outcome == Outcome::Won {
            self.gap = FIRST_GAP;
        } else if self.credit == 0 {
            self.left = self.gap;
            self.gap = LAST_GAP.min(2 * self.gap);
        }
    }

    /// Whatever comes of it, it is not worth it now.
    pub(crate) fn give_up(&mut self) {
        self.credit = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often it is placed in so many chances, if it always ends the same way.
    fn placed(bet: &mut Bet, chances: usize, outcome: Outcome) -> usize {
        (0..chances).filter(|_| bet.is_on().then(|| bet.settle(outcome)).is_some()).count()
    }

    #[test]
    fn what_always_pays_is_always_tried_and_what_never_does_hardly_ever() {
        let mut bet = Bet::new();
        assert_eq!(placed(&mut bet, 1000, Outcome::Won), 1000);
        let tries = placed(&mut bet, 100_000, Outcome::Lost);
        assert!((20..60).contains(&tries), "{tries}");
    }

    #[test]
    fn what_pays_again_is_found_out() {
        let mut bet = Bet::new();
        placed(&mut bet, 100_000, Outcome::Lost);
        assert!(placed(&mut bet, 10_000, Outcome::Won) > 5000);
    }

    #[test]
    fn what_pays_every_other_time_does_not_pay() {
        let mut bet = Bet::new();
        let tries = (0..10_000).filter(|chance| {
            bet.is_on()
                .then(|| bet.settle(if chance % 2 == 0 { Outcome::Won } else { Outcome::Lost }))
                .is_some()
        });
        assert!(tries.count() < 1000);
    }
}
