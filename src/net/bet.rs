//! What is worth trying only while it pays.

/// A bet that is placed as long as it was lately won about one time in three. Otherwise it
/// is placed now and then, to notice a change, and less often the longer nothing changed.
#[derive(Debug)]
pub(crate) struct Bet {
    /// Grows by winning, and shrinks half as fast by losing.
    credit: i8,
    /// How many chances are passed over between two tries.
    gap: u16,
    /// How many chances are still to be passed over.
    left: u16,
}

/// The result of one try, in credit. A win saves two microseconds or more of falling asleep
/// and being woken, and a loss costs as long as the try took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payoff {
    Won = 2,
    Lost = -1,
    /// Won or lost, it kept others waiting: it ends the bet.
    Late = -MOST_CREDIT as isize,
}

/// It takes sixteen losses in a row to end a bet with this credit.
const MOST_CREDIT: i8 = 16;
/// One try in this many chances costs next to nothing.
const FIRST_GAP: u16 = 64;
/// One microsecond in this many chances cannot be measured, and a change is noticed within
/// milliseconds of full load. (A late try costs milliseconds. Longer gaps were tried, and
/// cost more than they saved where many threads share the CPUs.)
const LAST_GAP: u16 = 256;

impl Bet {
    /// A bet without experience: it begins with full credit.
    pub(crate) fn new() -> Bet {
        Bet { credit: MOST_CREDIT, gap: FIRST_GAP, left: 0 }
    }

    /// Takes a chance or passes it over. Returns whether to place the bet.
    pub(crate) fn place(&mut self) -> bool {
        if self.credit > 0 || self.left == 0 {
            return true;
        }
        self.left -= 1;
        false
    }

    /// The bet was placed, with this result.
    pub(crate) fn settle(&mut self, payoff: Payoff) {
        self.credit = (self.credit + payoff as i8).clamp(0, MOST_CREDIT);
        if payoff == Payoff::Won {
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

    /// How often it is placed in this many chances, if the result is always the same.
    fn placed(bet: &mut Bet, chances: usize, payoff: Payoff) -> usize {
        (0..chances).filter(|_| bet.place().then(|| bet.settle(payoff)).is_some()).count()
    }

    #[test]
    fn what_always_pays_is_always_tried_and_what_never_pays_is_hardly_ever_tried() {
        let mut bet = Bet::new();
        assert_eq!(placed(&mut bet, 1000, Payoff::Won), 1000);
        let tries = placed(&mut bet, 100_000, Payoff::Lost);
        assert!((300..500).contains(&tries), "{tries}");
    }

    #[test]
    fn what_pays_again_is_noticed() {
        let mut bet = Bet::new();
        placed(&mut bet, 100_000, Payoff::Lost);
        assert!(placed(&mut bet, 1000, Payoff::Won) > 700);
    }

    /// How many tries there are in 10,000 chances if every nth is won.
    fn tries_if_won_every(nth: usize) -> usize {
        let (mut bet, mut tries) = (Bet::new(), 0);
        for _ in 0..10_000 {
            if bet.place() {
                tries += 1;
                let won = tries % nth == 0;
                bet.settle(if won { Payoff::Won } else { Payoff::Lost });
            }
        }
        tries
    }

    #[test]
    fn one_win_in_three_is_enough() {
        assert_eq!(tries_if_won_every(3), 10_000);
        assert!(tries_if_won_every(4) < 1000);
    }

    #[test]
    fn a_late_try_ends_the_bet_for_a_while_however_much_it_paid() {
        let mut bet = Bet::new();
        placed(&mut bet, 1000, Payoff::Won);
        bet.settle(Payoff::Late);
        assert_eq!(placed(&mut bet, usize::from(FIRST_GAP), Payoff::Won), 0);
        assert!(bet.place());
    }
}
