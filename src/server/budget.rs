//! The bound on the bytes that the connections of one reactor hold.

use crate::net::connection::SCRATCH;
use crate::net::sys;

/// How many bytes the connections of one reactor hold, and how many they may hold before
/// each is read from in smaller pieces: thousands of peers that never take their replies
/// must cost a few KiB each, not a whole read.
///
/// Bytes that workers have do not count: the number of jobs bounds them.
#[derive(Debug)]
pub(crate) struct Budget {
    held: usize,
    most: usize,
    /// It was spent since memory was last returned to the kernel. Messages that arrive in small
    /// pieces, or are pushed to many, grow through blocks of all sizes and leave holes in the
    /// heap.
    needs_trim: bool,
    /// The most bytes that were held at any moment.
    #[cfg(test)]
    most_held: usize,
}

/// How much is read at once while the budget is spent. Each connection then adds little to
/// it, and large messages cost more calls.
pub(crate) const REDUCED_READ: usize = 4 * 1024;

impl Budget {
    pub(crate) fn new(most: usize) -> Budget {
        Budget {
            held: 0,
            most,
            needs_trim: false,
            #[cfg(test)]
            most_held: 0,
        }
    }

    /// How many bytes may be read at once.
    pub(crate) fn read_size(&self) -> usize {
        if self.is_spent() { REDUCED_READ } else { SCRATCH }
    }

    /// How much of what is pushed to it one connection may hold: while the budget is spent as
    /// little as it may read.
    pub(crate) fn push_room(&self) -> usize {
        self.read_size()
    }

    /// Returns whether reads are reduced.
    pub(crate) fn is_spent(&self) -> bool {
        self.held >= self.most
    }

    /// A read was reduced, or a message was pushed, while it was spent.
    pub(crate) fn note_spent(&mut self) {
        self.needs_trim = true;
    }

    /// A connection that held `before` bytes now holds `after`.
    pub(crate) fn account(&mut self, before: usize, after: usize) {
        self.held = self.held + after - before;
        #[cfg(test)]
        {
            self.most_held = self.most_held.max(self.held);
        }
        if self.needs_trim && self.held <= self.most / 1024 {
            self.needs_trim = false;
            sys::give_back_free_pages();
        }
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    #[cfg(test)]
    pub(crate) fn most_held(&self) -> usize {
        self.most_held
    }
}
