//! When messages are to be sent.

use std::time::{Duration, Instant};

use crate::net::token::Token;

/// When the messages of one thread's connections are to be sent.
///
/// In an open loop message `index` of all connections is due `index / rate` seconds
/// after the start, whatever has become of the others, and the connections take
/// turns. A connection whose server is late therefore gets behind its schedule, and
/// the time that its messages had to wait is in their latency.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// As soon as there is room.
    Closed,
    /// On a schedule.
    Open(Schedule),
}

/// The schedule of one thread's connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) start: Instant,
    /// Messages a second, of all threads.
    pub(crate) rate: f64,
    /// Connections of all threads.
    pub(crate) lanes: u64,
    /// The place of this thread's first connection among them.
    pub(crate) first: u64,
}

impl Schedule {
    /// When message `index` of the thread's connection at `place` is due.
    pub(crate) fn due(&self, place: u64, index: u64) -> Instant {
        let turn = (self.first + place) as f64 + index as f64 * self.lanes as f64;
        self.start + Duration::from_secs_f64(turn / self.rate)
    }

    /// How many messages of the connection at `place` are due by `now`.
    pub(crate) fn due_by(&self, place: u64, now: Instant) -> u64 {
        let turn = now.saturating_duration_since(self.start).as_secs_f64() * self.rate;
        let turns = turn - (self.first + place) as f64;
        // Rounding may be off by one either way; `due` decides.
        let near = (turns / self.lanes as f64).max(0.0) as u64;
        (near..near + 2).take_while(|&index| self.due(place, index) <= now).count() as u64 + near
    }
}

/// Whose turn it is, among the connections of one thread.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// Who is at which place.
    order: Vec<Token>,
    /// How often it was somebody's turn.
    taken: u64,
    /// After how many rounds nobody has anything left to say.
    pub(crate) rounds: u64,
}

impl Turns {
    pub(crate) fn new(order: Vec<Token>) -> Turns {
        Turns { order, taken: 0, rounds: u64::MAX }
    }

    pub(crate) fn order(&self) -> &[Token] {
        &self.order
    }

    /// Another is at this place from now on.
    pub(crate) fn replace(&mut self, place: u32, token: Token) {
        if let Some(old) = self.order.get_mut(place as usize) {
            *old = token;
        }
    }

    /// When the next turn is due, if there is one.
    pub(crate) fn due(&self, schedule: &Schedule) -> Option<Instant> {
        let round = self.taken.checked_div(self.places())?;
        (round < self.rounds).then(|| schedule.due(self.taken % self.places(), round))
    }

    /// Takes the next turn, if it is due by `now`.
    pub(crate) fn take(&mut self, schedule: &Schedule, now: Instant) -> Option<Token> {
        self.due(schedule).filter(|&due| due <= now)?;
        let token = self.order[(self.taken % self.places()) as usize];
        self.taken += 1;
        Some(token)
    }

    /// Leaves out rounds of turns that another round has followed by `now`: whoever has
    /// a turn says all that is due.
    pub(crate) fn catch_up(&mut self, schedule: &Schedule, now: Instant) {
        let Some(round) = self.taken.checked_div(self.places()) else {
            return;
        };
        let due = schedule.due_by(self.taken % self.places(), now);
        self.taken += self.places() * due.saturating_sub(round + 1);
    }

    fn places(&self) -> u64 {
        self.order.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_take_turns_at_the_rate() {
        let start = Instant::now();
        // Two threads with three and two connections.
        let schedule = |first| Schedule { start, rate: 1000.0, lanes: 5, first };
        let at = |first, place, index| schedule(first).due(place, index) - start;
        let turns = [at(0, 0, 0), at(0, 1, 0), at(0, 2, 0), at(3, 0, 0), at(3, 1, 0), at(0, 0, 1)];
        let expected: Vec<_> = (0..6).map(Duration::from_millis).collect();
        assert_eq!(turns.to_vec(), expected);
    }

    #[test]
    fn rounds_that_another_has_followed_are_left_out_however_many_there_are() {
        let start = Instant::now();
        let schedule = Schedule { start, rate: 1e8, lanes: 2, first: 0 };
        let mut turns = Turns::new(vec![Token::WAKE; 2]);
        turns.catch_up(&schedule, start + Duration::from_secs(1000));
        // Of all that were due by then, one round is left.
        assert_eq!(turns.taken, 100_000_000_000);
        turns.rounds = 10;
        assert_eq!(turns.due(&schedule), None);
    }

    #[test]
    fn what_is_due_is_what_the_schedule_says() {
        let start = Instant::now();
        let schedule = Schedule { start, rate: 333.3, lanes: 7, first: 2 };
        for index in 0..100_000 {
            let due = schedule.due(1, index);
            assert_eq!(schedule.due_by(1, due), index + 1);
            assert_eq!(schedule.due_by(1, due - Duration::from_nanos(1)), index);
        }
        assert_eq!(schedule.due_by(1, start - Duration::from_secs(1)), 0);
    }
}
