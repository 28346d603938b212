//! What is worth trying only while it pays.

/// A bet that is placed as long as it has lately been won one time in three, or so; else
/// now and then, to see whether times have changed, and the more seldom the longer they
/// have not.
#[derive(Debug)]
pub(crate) struct Bet {
    /// Won by winning, lost half as fast by losing.
    credit: i8,
    /// How many chances are let go between two tries.
    gap: u16,
    /// How many are still to be let go.
    left: u16,
}

/// What a try came to, in credit: for a reactor to win saves two microseconds or more of
/// falling asleep and being woken, and to lose costs one. (With `--busy-poll` it costs as
/// long as that says.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Won = 2,
    Lost = -1,
    /// Won or lost, it has kept others waiting: it ends the bet.
    Late = -MOST_CREDIT as isize,
}

/// So much that it takes sixteen losses in a row to end it.
const MOST_CREDIT: i8 = 16;
/// One chance in so many is hardly noticed.
const FIRST_GAP: u16 = 64;
/// The microsecond of one in so many is not noticed at all, and a change of times is within
/// milliseconds of full load. (One that is late costs milliseconds. To try those less often
/// has cost more, where many threads share the CPUs, than it has saved.)
const LAST_GAP: u16 = 256;

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
        assert!((300..500).contains(&tries), "{tries}");
    }

    #[test]
    fn what_pays_again_is_found_out() {
        let mut bet = Bet::new();
        placed(&mut bet, 100_000, Outcome::Lost);
        assert!(placed(&mut bet, 1000, Outcome::Won) > 700);
    }

    /// How many tries there are in 10,000 chances if one in so many is won.
    fn tries_if_one_wins_in(so_many: usize) -> usize {
        let (mut bet, mut tries) = (Bet::new(), 0);
        for _ in 0..10_000 {
            if bet.is_on() {
                tries += 1;
                let won = tries % so_many == 0;
                bet.settle(if won { Outcome::Won } else { Outcome::Lost });
            }
        }
        tries
    }

    #[test]
    fn it_is_worth_its_while_if_won_one_time_in_three() {
        assert_eq!(tries_if_one_wins_in(3), 10_000);
        assert!(tries_if_one_wins_in(4) < 1000);
    }

    #[test]
    fn what_took_too_long_is_not_tried_again_soon_however_much_it_has_paid() {
        let mut bet = Bet::new();
        placed(&mut bet, 1000, Outcome::Won);
        bet.settle(Outcome::Late);
        assert_eq!(placed(&mut bet, usize::from(FIRST_GAP), Outcome::Won), 0);
        assert!(bet.is_on());
    }
}
