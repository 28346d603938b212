//! Whose turn it is to get the next connection.

/// Deals connections round-robin: to a shift of reactors until each of them has had
/// [`RUN`], then to the next shift.
#[derive(Debug)]
pub(crate) struct Rota {
    reactors: usize,
    /// How many have a shift together.
    shift: usize,
    /// How many connections were dealt.
    dealt: usize,
}

/// How many connections in a row each reactor of a shift gets: enough to keep it awake,
/// few enough to have thousands spread evenly.
const RUN: usize = 64;

impl Rota {
    /// For so many reactors on so many CPUs.
    ///
    /// More threads than CPUs cannot run at once, so where none ever waits in a handler
    /// they only put each other to sleep: then no more have a shift than there are CPUs.
    /// Twice as many do no harm, and come in turn as they stand.
    pub(crate) fn new(reactors: usize, cpus: usize, handler_waits: bool) -> Rota {
        let all = handler_waits || reactors <= 2 * cpus;
        Rota { reactors, shift: if all { reactors } else { cpus }, dealt: 0 }
    }

    /// The reactor that gets the next connection.
    pub(crate) fn next(&mut self) -> usize {
        let (shifts, place) = (self.dealt / (self.shift * RUN), self.dealt % self.shift);
        self.dealt = self.dealt.wrapping_add(1);
        (shifts * self.shift + place) % self.reactors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dealt(rota: &mut Rota, connections: usize) -> Vec<usize> {
        let mut dealt = vec![0; rota.reactors];
        (0..connections).for_each(|_| dealt[rota.next()] += 1);
        dealt
    }

    #[test]
    fn as_many_reactors_as_can_run_at_once_get_the_connections_in_turn() {
        let mut rota = Rota::new(4, 2, false);
        let turns: Vec<_> = (0..8).map(|_| rota.next()).collect();
        assert_eq!(turns, [0, 1, 2, 3, 0, 1, 2, 3]);
    }

    #[test]
    fn more_than_can_run_at_once_get_them_shift_by_shift_and_in_the_end_as_many() {
        let mut rota = Rota::new(5, 2, false);
        assert_eq!(dealt(&mut rota, 2 * RUN), [RUN, RUN, 0, 0, 0]);
        assert_eq!(dealt(&mut rota, 8 * RUN), [RUN, RUN, 2 * RUN, 2 * RUN, 2 * RUN]);
    }

    #[test]
    fn where_a_handler_waits_every_reactor_is_wanted_at_once() {
        assert_eq!(dealt(&mut Rota::new(32, 2, true), 32), [1; 32]);
    }
}
