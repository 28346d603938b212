//! The search for the highest rate that holds a limit.

/// How a step at a rate ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The server kept up with the rate, and held the limit if there is one.
    Held,
    /// It did not.
    Failed,
    /// Neither was the case, and the client was busy: the server may be able to do more.
    ClientBusy,
}

/// A step of a search: the rate, and how it ended.
pub(crate) type Try = (u64, Verdict);

/// What follows from the tries so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Try this rate.
    Try(u64),
    /// The search is over.
    End(Finding),
}

/// What a search has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The highest rate that holds the limit, and the lowest one that does not. There is none
    /// if the highest possible rate holds it.
    Limit { held: u64, failed: Option<u64> },
    /// At `held` the limit holds, and at `busy` the client is the bottleneck.
    ClientLimit { held: u64, busy: u64 },
    /// No rate holds the limit.
    NoRate,
    /// The tries contradict each other too often.
    Unsettled,
}

/// Low enough for a slow server, and nine doublings away from 500,000.
const FIRST: u64 = 1000;
/// The highest rate that `--rate` takes.
const HIGHEST: u64 = 100_000_000;
/// The search ends when the rate that fails is higher than the one that holds by less than one
/// part of this many.
const WIDTH: u64 = 50;
/// A rate that was tried this often without a clear result fails.
const TRIES_PER_RATE: usize = 5;
/// About five times as many as a search needs on a quiet machine.
const TRIES: usize = 100;

/// Returns what follows from the tries so far.
///
/// The rate doubles until it fails, or is halved until it holds. Then the range between the
/// highest rate that holds and the lowest that fails is halved until it is narrow. Because a
/// machine is never quiet, a rate fails only if it does so twice in a row, and once more at the end
/// if that was long ago. The rate found must hold twice in a row.
pub(crate) fn next(tries: &[Try]) -> Next {
    let Some(&(last, verdict)) = tries.last() else {
        return Next::Try(FIRST);
    };
    if tries.len() >= TRIES {
        return Next::End(Finding::Unsettled);
    }
    if verdict != Verdict::Held && !has_failed(tries, last) {
        return Next::Try(last);
    }
    let rates = || tries.iter().map(|it| it.0);
    let failed = rates().filter(|&rate| has_failed(tries, rate)).min();
    let below = |rate: &u64| failed.is_none_or(|failed| *rate < failed);
    let held = rates().filter(below).filter(|&rate| last_at(tries, rate) == Verdict::Held).max();
    match (held, failed) {
        (None, Some(failed)) if failed > 1 => Next::Try(failed / 2),
        (None, _) => Next::End(Finding::NoRate),
        (Some(held), _) => match between(held, failed) {
            Some(rate) => Next::Try(rate),
            None => match failed.filter(|&failed| is_stale(tries, held, failed)) {
                Some(failed) => Next::Try(failed),
                None if !has_held(tries, held) => Next::Try(held),
                None => Next::End(finding(tries, held, failed)),
            },
        },
    }
}

/// The rate to try between these two, if they are not close. Without an upper one it is twice the
/// lower.
fn between(held: u64, failed: Option<u64>) -> Option<u64> {
    match failed {
        None => Some((2 * held).min(HIGHEST)).filter(|&rate| rate > held),
        Some(failed) => {
            let gap = failed - held;
            (gap > (failed / WIDTH).max(1)).then_some(held + gap / 2)
        }
    }
}

fn finding(tries: &[Try], held: u64, failed: Option<u64>) -> Finding {
    match failed.filter(|&rate| at(tries, rate).contains(&Verdict::ClientBusy)) {
        Some(busy) => Finding::ClientLimit { held, busy },
        None => Finding::Limit { held, failed },
    }
}

/// The verdicts at a rate.
fn at(tries: &[Try], rate: u64) -> Vec<Verdict> {
    tries.iter().filter(|it| it.0 == rate).map(|it| it.1).collect()
}

fn last_at(tries: &[Try], rate: u64) -> Verdict {
    *at(tries, rate).last().expect("the rate was tried")
}

/// Whether a rate held in its last two tries.
fn has_held(tries: &[Try], rate: u64) -> bool {
    matches!(at(tries, rate)[..], [.., Verdict::Held, Verdict::Held])
}

/// Whether a rate failed in its last two tries, or was tried too often without a clear result.
fn has_failed(tries: &[Try], rate: u64) -> bool {
    match at(tries, rate)[..] {
        [.., before, last] if ![before, last].contains(&Verdict::Held) => true,
        ref all => all.len() >= TRIES_PER_RATE && !has_held(tries, rate),
    }
}

/// Whether `failed` was last tried before `held` was. A disturbance of the machine may have been
/// the reason, and all rates above it were left out.
fn is_stale(tries: &[Try], held: u64, failed: u64) -> bool {
    let last = tries.iter().rposition(|it| it.0 == failed);
    let first = tries.iter().position(|it| it.0 == held);
    last < first && at(tries, failed).len() < TRIES_PER_RATE
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs a search on a server, and returns its tries as well.
    fn search(mut server: impl FnMut(u64) -> Verdict) -> (Finding, Vec<Try>) {
        let mut tries = Vec::new();
        loop {
            match next(&tries) {
                Next::Try(rate) => tries.push((rate, server(rate))),
                Next::End(finding) => return (finding, tries),
            }
        }
    }

    /// The verdict of a server that can do this many messages per second.
    fn verdict(capacity: u64, rate: u64) -> Verdict {
        if rate <= capacity { Verdict::Held } else { Verdict::Failed }
    }

    fn is_narrow(held: u64, failed: u64) -> bool {
        failed - held <= (failed / WIDTH).max(1)
    }

    #[test]
    fn a_search_doubles_then_halves_the_range_then_repeats_the_rate_found() {
        let (finding, tries) = search(|rate| verdict(3100, rate));
        let rates: Vec<_> = tries.iter().map(|it| it.0).collect();
        let halving = [3000, 3500, 3500, 3250, 3250, 3125, 3125, 3062, 3093];
        assert_eq!(rates, [&[1000, 2000, 4000, 4000][..], &halving, &[3125, 3093]].concat()[..]);
        assert_eq!(finding, Finding::Limit { held: 3093, failed: Some(3125) });
    }

    #[test]
    fn a_server_that_holds_no_rate_or_every_rate_has_its_own_finding() {
        let (finding, tries) = search(|_| Verdict::Failed);
        assert_eq!((finding, tries.last()), (Finding::NoRate, Some(&(1, Verdict::Failed))));
        let (finding, tries) = search(|_| Verdict::Held);
        assert_eq!(finding, Finding::Limit { held: HIGHEST, failed: None });
        assert_eq!(tries[tries.len() - 2..], [(HIGHEST, Verdict::Held); 2]);
    }

    #[test]
    fn a_single_failure_does_not_lower_the_result() {
        for disturbed in 0..15 {
            let mut number = 0;
            let (finding, _) = search(|rate| {
                number += 1;
                if number == disturbed + 1 { Verdict::Failed } else { verdict(3100, rate) }
            });
            assert_eq!(finding, Finding::Limit { held: 3093, failed: Some(3125) }, "{disturbed}");
        }
    }

    #[test]
    fn a_disturbance_of_two_steps_does_not_lower_the_result() {
        for disturbed in 0..14 {
            let mut number = 0;
            let (finding, tries) = search(|rate| {
                number += 1;
                match number - 1 == disturbed || number - 2 == disturbed {
                    true => Verdict::Failed,
                    false => verdict(3100, rate),
                }
            });
            let Finding::Limit { held, .. } = finding else { panic!("{finding:?}") };
            assert!((3000..=3100).contains(&held), "{disturbed}: {held} in {tries:?}");
        }
    }

    #[test]
    fn a_rate_that_held_by_luck_is_not_the_result() {
        let mut is_lucky = true;
        let (finding, tries) = search(|rate| match rate {
            3093 if std::mem::take(&mut is_lucky) => Verdict::Held,
            _ => verdict(3080, rate),
        });
        assert!(tries.contains(&(3093, Verdict::Held)), "{tries:?}");
        let Finding::Limit { held, failed: Some(failed) } = finding else { panic!("{finding:?}") };
        assert!(held <= 3080 && failed == 3093 && is_narrow(held, failed), "{held} {failed}");
    }

    #[test]
    fn a_limit_of_the_client_is_not_the_servers() {
        // The client can send 9,000 per second, and the server can do more.
        let busy = |rate| if rate <= 9000 { Verdict::Held } else { Verdict::ClientBusy };
        let (finding, _) = search(busy);
        let Finding::ClientLimit { held, busy } = finding else { panic!("{finding:?}") };
        assert!(held <= 9000 && busy > 9000 && is_narrow(held, busy), "{held} {busy}");
        // The server can do less. Far above that the client is busy, too.
        let far = |rate| if rate > 12_000 { Verdict::ClientBusy } else { verdict(9000, rate) };
        assert!(matches!(search(far).0, Finding::Limit { held: 8000..=9000, .. }));
    }

    #[test]
    fn a_few_disturbed_steps_hardly_change_the_result() {
        let mut random = 1_u64;
        let mut is_disturbed = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33).is_multiple_of(20)
        };
        let close = (0..1000).filter(|number| {
            let capacity = 2000 + 37 * number;
            let (finding, _) = search(|rate| match is_disturbed() {
                true => Verdict::Failed,
                false => verdict(capacity, rate),
            });
            let least = capacity - capacity / 20;
            matches!(finding, Finding::Limit { held, .. } if (least..=capacity).contains(&held))
        });
        let close = close.count();
        assert!(close > 950, "{close} of 1000 results are within 5 %");
    }

    proptest! {
        #[test]
        fn the_limit_of_a_quiet_server_is_in_a_narrow_bracket(capacity in 1..HIGHEST) {
            let (finding, tries) = search(|rate| verdict(capacity, rate));
            let Finding::Limit { held, failed: Some(failed) } = finding else {
                return Err(TestCaseError::fail(format!("{finding:?}")));
            };
            prop_assert!(held <= capacity && capacity < failed && is_narrow(held, failed));
            prop_assert!(tries.len() <= 45, "{} steps", tries.len());
        }

        #[test]
        fn every_search_ends_with_what_its_tries_show(
            verdicts in proptest::collection::vec(0..3_u8, TRIES)
        ) {
            let mut verdicts = verdicts.into_iter();
            let (finding, tries) = search(|_| match verdicts.next().expect("few tries") {
                0 => Verdict::Failed,
                1 => Verdict::ClientBusy,
                _ => Verdict::Held,
            });
            if let Finding::Limit { held, failed } = finding {
                prop_assert_eq!(&at(&tries, held)[at(&tries, held).len() - 2..], [Verdict::Held; 2]);
                if let Some(failed) = failed {
                    prop_assert!(is_narrow(held, failed) && has_failed(&tries, failed));
                    prop_assert!(!at(&tries, failed).contains(&Verdict::ClientBusy));
                }
            }
        }
    }
}
