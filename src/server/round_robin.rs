//! Which reactor gets the next connection.

/// Deals connections round-robin: connection k goes to reactor k mod N.
#[derive(Debug)]
pub(crate) struct RoundRobin {
    reactors: usize,
    next: usize,
}

impl RoundRobin {
    /// Deals to this number of reactors, beginning with the first.
    pub(crate) fn new(reactors: usize) -> RoundRobin {
        RoundRobin { reactors, next: 0 }
    }

    /// The reactor that gets the next connection.
    pub(crate) fn next(&mut self) -> usize {
        let reactor = self.next;
        self.next = (reactor + 1) % self.reactors;
        reactor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_k_goes_to_reactor_k_mod_n() {
        for reactors in [1, 2, 3, 4, 8, 32, 64] {
            let mut round_robin = RoundRobin::new(reactors);
            (0..3 * reactors).for_each(|k| assert_eq!(round_robin.next(), k % reactors));
        }
    }
}
