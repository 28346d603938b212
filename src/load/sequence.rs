//! The messages of one connection, by number.

use std::time::Instant;

use crate::load::outage::Outage;
use crate::net::connection::Tally;

/// The sequence of messages that one connection sends, or with `reconnect_every`
/// several connections one after the other.
#[derive(Debug)]
pub(crate) struct Sequence {
    /// The connection's number in this program, which its messages carry.
    pub(crate) connection: u32,
    /// Its place in the send order of its thread.
    pub(crate) place: u32,
    /// How many messages it may send in all.
    pub(crate) limit: u64,
    /// Until when it thinks, once it has.
    pub(crate) thinks_until: Option<Instant>,
    sent: u64,
    answered: u64,
    /// How many of its first messages belong to the warm-up and do not count.
    warmup: u64,
    /// How many messages were due during the warm-up, but never sent.
    skipped: u64,
    /// Bytes of the messages and replies that do not count.
    uncounted: Tally,
    /// Bytes on its connections that are closed.
    closed: Tally,
    /// Since its connection was lost, until another works.
    pub(crate) outage: Option<Box<Outage>>,
}

impl Sequence {
    /// A sequence that warms up until [`start_counting`](Self::start_counting).
    pub(crate) fn new(connection: u32) -> Sequence {
        let (place, sent, answered, skipped, outage) = Default::default();
        let (thinks_until, uncounted, closed) = Default::default();
        let (limit, warmup) = (u64::MAX, u64::MAX);
        Sequence {
            connection,
            place,
            limit,
            thinks_until,
            sent,
            answered,
            warmup,
            skipped,
            uncounted,
            closed,
            outage,
        }
    }

    /// From now on messages count, at most `limit` of them. Of the `due` messages before,
    /// those that were not sent are skipped.
    pub(crate) fn start_counting(&mut self, due: u64, limit: u64) {
        self.warmup = self.sent;
        self.skipped = due.saturating_sub(self.sent);
        self.limit = self.sent.saturating_add(limit);
    }

    /// The number of the next message to send; one less than it is the last one sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// The number of the message whose reply is next.
    pub(crate) fn answered(&self) -> u64 {
        self.answered
    }

    pub(crate) fn unanswered(&self) -> u64 {
        self.sent - self.answered
    }

    /// Whether its first connection is being opened, or failed to open.
    pub(crate) fn has_not_begun(&self) -> bool {
        self.sent == 0 && self.outage.is_none()
    }

    /// Its connection is lost, and with it the replies to its unanswered messages. Returns how
    /// many of these count.
    pub(crate) fn abandon_unanswered(&mut self) -> u64 {
        let counted = self.sent.saturating_sub(self.answered.max(self.warmup));
        self.answered = self.sent;
        counted
    }

    /// How many more messages it may send.
    pub(crate) fn left(&self) -> u64 {
        self.limit.saturating_sub(self.sent)
    }

    /// Whether message `number` counts.
    pub(crate) fn counts(&self, number: u64) -> bool {
        number >= self.warmup
    }

    /// How many messages that count were sent.
    pub(crate) fn counted(&self) -> u64 {
        self.sent.saturating_sub(self.warmup)
    }

    /// The index of message `number` in the schedule.
    pub(crate) fn index(&self, number: u64) -> u64 {
        number + self.skipped
    }

    /// Adds messages that are sent, and their bytes. Either all of them count or none.
    pub(crate) fn add_sent(&mut self, count: u64, bytes: usize) {
        if !self.counts(self.sent) {
            self.uncounted.sent += bytes as u64;
        }
        self.sent += count;
    }

    /// Adds a reply and its bytes.
    pub(crate) fn add_answered(&mut self, bytes: usize) {
        if !self.counts(self.answered) {
            self.uncounted.received += bytes as u64;
        }
        self.answered += 1;
    }

    /// Adds the bytes of a connection that is closed.
    pub(crate) fn add_closed(&mut self, tally: Tally) {
        self.closed.sent += tally.sent;
        self.closed.received += tally.received;
    }

    /// Bytes of the messages and replies that count.
    pub(crate) fn counted_bytes(&self) -> Tally {
        Tally {
            sent: self.closed.sent.saturating_sub(self.uncounted.sent),
            received: self.closed.received.saturating_sub(self.uncounted.received),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_that_are_lost_are_neither_awaited_nor_among_the_bytes() {
        let mut sequence = Sequence::new(7);
        sequence.add_sent(3, 30);
        sequence.add_answered(10);
        // The connection is lost during the warm-up, with two replies missing.
        sequence.add_closed(Tally { sent: 30, received: 10 });
        assert_eq!((sequence.abandon_unanswered(), sequence.unanswered()), (0, 0));
        sequence.add_sent(2, 20);
        sequence.start_counting(0, 10);
        sequence.add_sent(4, 40);
        sequence.add_answered(10);
        // The second one is lost with one reply of the warm-up missing, and four that count.
        sequence.add_closed(Tally { sent: 60, received: 10 });
        assert_eq!((sequence.abandon_unanswered(), sequence.unanswered()), (4, 0));
        let bytes = sequence.counted_bytes();
        assert_eq!((bytes.sent, bytes.received), (40, 0));
        assert_eq!((sequence.answered(), sequence.left(), sequence.counted()), (9, 6, 4));
    }

    #[test]
    fn the_warm_up_does_not_count_and_what_it_missed_is_skipped() {
        let mut sequence = Sequence::new(7);
        sequence.add_sent(3, 30);
        sequence.add_answered(11);
        sequence.start_counting(10, 5);
        assert_eq!((sequence.left(), sequence.counted(), sequence.unanswered()), (5, 0, 2));
        // The next message is number 3, and the schedule has sent 10 by then.
        assert_eq!((sequence.counts(2), sequence.counts(3), sequence.index(3)), (false, true, 10));
        sequence.add_sent(5, 50);
        sequence.add_closed(Tally { sent: 80, received: 11 });
        // Of 8 messages 5 count, and none of the replies: one was to the warm-up.
        let bytes = sequence.counted_bytes();
        assert_eq!((sequence.left(), sequence.counted()), (0, 5));
        assert_eq!((bytes.sent, bytes.received), (50, 0));
    }
}
