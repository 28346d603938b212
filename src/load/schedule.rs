//! When the messages of an open loop are due, and on which connections.

use std::time::{Duration, Instant};

use crate::load::arrival::Arrival;
use crate::net::token::Token;

/// The place of one generator's connections among all, when sending starts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) at: Instant,
    /// Open connections of all generators, or those of the plan if none is open.
    pub(crate) lanes: u64,
    /// How many of these belong to the generators before this one.
    pub(crate) first: u64,
    /// How many of these belong to this one.
    pub(crate) own: u64,
}

/// The schedule of an open loop, for the connections of one thread.
///
/// Message `k` of all connections is due `k / rate` seconds after the start, or with Poisson
/// arrivals so on average, whatever happened to the others. The connections alternate. While a server is late its
/// connections fall behind the schedule, and the time that their messages wait is part
/// of their latency.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    start: Start,
    /// Messages per second, of all threads.
    rate: f64,
    arrival: Arrival,
    /// How many messages of the arrivals come before the first of these.
    skipped: f64,
    /// When that is, in mean times between messages.
    since: f64,
}

impl Schedule {
    pub(crate) fn new(start: Start, rate: u64, arrival: Arrival, seed: u32) -> Schedule {
        let skipped = arrival.skipped(seed);
        Schedule { start, rate: rate as f64, arrival, skipped, since: arrival.time(skipped) }
    }

    /// When message `index` of the thread's connection at `place` is due.
    pub(crate) fn due(&self, place: u64, index: u64) -> Instant {
        let message = (self.start.first + place) as f64 + index as f64 * self.start.lanes as f64;
        let time = self.arrival.time(self.skipped + message) - self.since;
        self.start.at + Duration::from_secs_f64(time / self.rate)
    }

    /// How many messages of the connection at `place` are due by `now`.
    pub(crate) fn due_by(&self, place: u64, now: Instant) -> u64 {
        let time = now.saturating_duration_since(self.start.at).as_secs_f64() * self.rate;
        let last = self.arrival.last_by(self.since + time) - self.skipped;
        let own = last - (self.start.first + place) as f64;
        // Rounding may be off by one either way; `due` decides.
        let near = (own / self.start.lanes as f64).max(0.0) as u64;
        (near..near + 2).take_while(|&index| self.due(place, index) <= now).count() as u64 + near
    }

    /// How many messages of the connection at `place` are due before `now`.
    pub(crate) fn due_before(&self, place: u64, now: Instant) -> u64 {
        self.due_by(place, now - Duration::from_nanos(1))
    }
}

/// The order in which the connections of one thread send, round after round.
#[derive(Debug, Default)]
pub(crate) struct SendOrder {
    /// The connection at each place.
    tokens: Vec<Token>,
    /// How many places were passed, in all rounds.
    passed: u64,
    /// The number of rounds after which no connection has anything left to send.
    pub(crate) rounds: u64,
}

impl SendOrder {
    pub(crate) fn new(tokens: Vec<Token>) -> SendOrder {
        SendOrder { tokens, passed: 0, rounds: u64::MAX }
    }

    pub(crate) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Puts another connection at this place.
    pub(crate) fn replace(&mut self, place: u32, token: Token) {
        if let Some(old) = self.tokens.get_mut(place as usize) {
            *old = token;
        }
    }

    /// When the next message is due, if there is one.
    pub(crate) fn next_due(&self, schedule: &Schedule) -> Option<Instant> {
        let round = self.passed.checked_div(self.places())?;
        (round < self.rounds).then(|| schedule.due(self.passed % self.places(), round))
    }

    /// Takes the connection whose message is next, if that is due by `now`.
    pub(crate) fn take_due(&mut self, schedule: &Schedule, now: Instant) -> Option<Token> {
        self.next_due(schedule).filter(|&due| due <= now)?;
        let token = self.tokens[(self.passed % self.places()) as usize];
        self.passed += 1;
        Some(token)
    }

    /// Skips the rounds that are over by `now`, except the last: a connection sends all
    /// of its messages that are due, so one round is enough to catch up.
    pub(crate) fn skip_missed_rounds(&mut self, schedule: &Schedule, now: Instant) {
        let Some(round) = self.passed.checked_div(self.places()) else {
            return;
        };
        let due = schedule.due_by(self.passed % self.places(), now);
        self.passed += self.places() * due.saturating_sub(round + 1);
    }

    fn places(&self) -> u64 {
        self.tokens.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(at: Instant, rate: u64, lanes: u64, first: u64) -> Schedule {
        let start = Start { at, lanes, first, own: 0 };
        Schedule::new(start, rate, Arrival::Uniform, 0)
    }

    #[test]
    fn connections_alternate_at_the_rate() {
        let start = Instant::now();
        // Two threads with three and two connections.
        let at = |first, place, index| schedule(start, 1000, 5, first).due(place, index) - start;
        let due = [at(0, 0, 0), at(0, 1, 0), at(0, 2, 0), at(3, 0, 0), at(3, 1, 0), at(0, 0, 1)];
        let expected: Vec<_> = (0..6).map(Duration::from_millis).collect();
        assert_eq!(due.to_vec(), expected);
    }

    #[test]
    fn all_missed_rounds_but_the_last_are_skipped() {
        let start = Instant::now();
        let schedule = schedule(start, 100_000_000, 2, 0);
        let mut order = SendOrder::new(vec![Token::WAKE; 2]);
        order.skip_missed_rounds(&schedule, start + Duration::from_secs(1000));
        assert_eq!(order.passed, 100_000_000_000);
        order.rounds = 10;
        assert_eq!(order.next_due(&schedule), None);
    }

    #[test]
    fn other_seeds_have_other_arrivals_of_the_same_rate() {
        let at = Instant::now();
        let start = Start { at, lanes: 1, first: 0, own: 1 };
        let times = |arrival, seed: u32| -> Vec<Duration> {
            let schedule = Schedule::new(start, 1000, arrival, seed);
            (0..20_000).map(|index| schedule.due(0, index) - at).collect()
        };
        let [one, same, other] = [7, 7, 8_000].map(|seed| times(Arrival::Poisson, seed));
        assert_eq!((&one, one[0], other[0]), (&same, Duration::ZERO, Duration::ZERO));
        // Of messages of one rate that do not depend on each other, next to none are due together.
        let together = one.iter().zip(&other).filter(|(one, other)| one == other).count();
        assert!(together < 10, "{together}");
        for times in [one, other] {
            let round = times[16_384].as_secs_f64();
            assert!((round - 16.384).abs() < 1e-6, "{round}");
        }
        assert_eq!(times(Arrival::Uniform, 7), times(Arrival::Uniform, 8_000));
    }

    #[test]
    fn the_count_of_due_messages_agrees_with_their_times() {
        let start = Instant::now();
        let uniform = schedule(start, 333, 7, 2);
        let poisson = [0, 1, 9_999, 16_383, u32::MAX]
            .map(|seed| Schedule::new(uniform.start, 333, Arrival::Poisson, seed));
        for schedule in [uniform].into_iter().chain(poisson) {
            for index in 0..100_000 {
                let due = schedule.due(1, index);
                assert_eq!(schedule.due_by(1, due), index + 1);
                assert_eq!(schedule.due_before(1, due), index);
            }
            assert_eq!(schedule.due_by(1, start - Duration::from_secs(1)), 0);
        }
    }
}
