//! The clients who came to a simulated server, and what it says of them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::actor::{Actor, Moment};
use super::speaker::{PRECISION, Speaker};
use crate::net::clock::scripted::now;
use crate::server::patience::Timeouts;
use crate::server::seats::Seats;
use crate::server::stats::Stats;

/// All that is judged once the server is gone.
pub(super) struct Company {
    pub(super) speakers: Vec<Speaker>,
    pub(super) actor: Arc<Actor>,
    pub(super) seats: Arc<Seats>,
    pub(super) stats: Arc<Stats>,
    pub(super) timeouts: Timeouts,
    /// When the server was to have drained, if it was told to.
    pub(super) drain_by: Option<Instant>,
}

impl Company {
    /// Whether the time to drain is over, by a clock of milliseconds.
    pub(super) fn is_cut_short(&self) -> bool {
        self.drain_by.is_some_and(|by| by <= now() + PRECISION)
    }

    /// Nothing of anybody may be left, the counts must be true, and everybody must
    /// have been served. Says how many bytes they heard.
    pub(super) fn judge(mut self) -> Result<usize, String> {
        let open = self.speakers.iter().filter(|speaker| !speaker.wire.borrow().closed).count();
        let seats = Arc::strong_count(&self.seats) - 1;
        if open + seats > 0 {
            return Err(format!("{open} sockets and {seats} seats are left"));
        }
        self.compare_counts()?;
        for speaker in &mut self.speakers {
            speaker.listen(usize::MAX)?;
        }
        self.speakers.iter().try_for_each(|speaker| self.judge_end(speaker))?;
        Ok(self.speakers.iter().map(|speaker| speaker.heard).sum())
    }

    fn compare_counts(&self) -> Result<(), String> {
        let stats = &self.stats.reactors[0];
        let sum = |count: fn(&Speaker) -> u64| self.speakers.iter().map(count).sum::<u64>();
        let (read, written) = (stats.received.get() + stats.discarded.get(), stats.sent.get());
        let came = self.speakers.len() as u64;
        let counts = [
            ("read", read, sum(|speaker| speaker.wire.borrow().read)),
            ("written", written, sum(|speaker| speaker.wire.borrow().written)),
            ("panics", stats.panics.get(), self.panics(stats.panics.get())),
            ("opened", stats.opened.get(), came),
            ("closed", self.stats.closed(), came),
        ];
        match counts.iter().find(|(_, counted, truth)| counted != truth) {
            None => Ok(()),
            Some((what, counted, truth)) => {
                Err(format!("{what}: {counted} counted, {truth} in truth"))
            }
        }
    }

    /// How many there were; of a job that came home too late nobody is told.
    fn panics(&self, counted: u64) -> u64 {
        let panics = self.actor.panics.load(Relaxed);
        if self.is_cut_short() { panics.min(counted) } else { panics }
    }

    fn judge_end(&self, speaker: &Speaker) -> Result<(), String> {
        let ended = self.actor.ended.lock().expect("no panic while it was held");
        match ended.get(&speaker.port).map(Vec::as_slice) {
            Some(&[(reason, at)]) => speaker.judge(reason, at, &self.timeouts),
            // With no session, or with one that a worker had when time was over.
            None if speaker.panics_at == Some(Moment::Opened) || self.is_cut_short() => Ok(()),
            other => Err(format!("told of its end: {other:?}: {speaker:?}")),
        }
    }
}
