//! Checks how a simulated server treated its clients.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::client::{Client, PRECISION};
use super::handler::{Moment, ScriptedHandler};
use super::pushes::Pushes;
use crate::net::clock::scripted::now;
use crate::net::counter::Counter;
use crate::server::handle::Handle;
use crate::server::patience::Timeouts;
use crate::server::seats::Seats;
use crate::wire::reason::Reason;

/// All that is checked once the server has ended.
pub(super) struct Checker {
    pub(super) clients: Vec<Client>,
    pub(super) handler: Arc<ScriptedHandler>,
    pub(super) seats: Arc<Seats>,
    pub(super) server: Handle,
    pub(super) pushes: Arc<Pushes>,
    pub(super) timeouts: Timeouts,
    /// When the drain had to be over, if the server was told to drain.
    pub(super) drain_by: Option<Instant>,
}

impl Checker {
    /// Returns whether the time to drain is over, by a clock of milliseconds.
    pub(super) fn is_cut_short(&self) -> bool {
        self.drain_by.is_some_and(|by| by <= now() + PRECISION)
    }

    /// Checks that nothing is left, that the counters are right and that every client was
    /// served. Returns how many bytes the clients received.
    pub(super) fn check(mut self) -> Result<usize, String> {
        let open = self.clients.iter().filter(|client| !client.wire.borrow().closed).count();
        let seats = Arc::strong_count(&self.seats) - 1;
        if open + seats > 0 {
            return Err(format!("{open} sockets and {seats} seats are left"));
        }
        self.compare_counts()?;
        for client in &mut self.clients {
            client.receive(usize::MAX)?;
        }
        self.clients.iter().try_for_each(|client| self.check_end(client))?;
        self.check_pushes()?;
        Ok(self.clients.iter().map(|client| client.stream.replies).sum())
    }

    fn compare_counts(&self) -> Result<(), String> {
        let stats = &self.server.stats().reactors[0];
        let sum = |count: fn(&Client) -> u64| self.clients.iter().map(count).sum::<u64>();
        let (read, written) = (stats.received.get() + stats.discarded.get(), stats.sent.get());
        let came = self.clients.len() as u64;
        let counts = [
            ("read", read, sum(|client| client.wire.borrow().read)),
            ("written", written, sum(|client| client.wire.borrow().written)),
            ("panics", stats.panics.get(), self.panics(stats.panics.get())),
            ("opened", stats.opened.get(), came),
            ("closed", self.server.stats().closed(), came),
        ];
        match counts.iter().find(|(_, counted, truth)| counted != truth) {
            None => Ok(()),
            Some((what, counted, truth)) => {
                Err(format!("{what}: {counted} counted, {truth} in truth"))
            }
        }
    }

    /// Checks that what was pushed arrived or is counted.
    fn check_pushes(&self) -> Result<(), String> {
        let stats = &self.server.stats().reactors[0];
        let [kept, dropped, late] =
            [&stats.pushed, &stats.pushes_dropped, &stats.pushes_late].map(Counter::get);
        let closed = self.server.stats().closed_for(Reason::PushFull);
        let (counted, expected) = (kept + dropped + late + closed, self.pushes.counted());
        if !expected.contains(&counted) {
            return Err(format!("{counted} pushes are counted, not {expected:?}"));
        }
        let arrived: usize = self.clients.iter().map(|client| client.stream.pushed.len()).sum();
        let is_cut = |client: &Client| client.is_broken() || client.wire.borrow().cut;
        if arrived as u64 > kept || arrived as u64 != kept && !self.clients.iter().any(is_cut) {
            return Err(format!("of {kept} pushed messages {arrived} arrived"));
        }
        let healthy = self.clients.iter().filter(|client| !is_cut(client));
        let missing: usize = healthy
            .map(|client| client.stream.missing(&self.pushes.reaching(client.port)).count())
            .sum();
        if missing as u64 > dropped + late + closed {
            return Err(format!("{missing} pushed messages are missing"));
        }
        if dropped == 0 {
            for client in &self.clients {
                client.stream.check_no_gaps(&self.pushes.reaching(client.port))?;
            }
        }
        Ok(())
    }

    /// How many panics there were. One in a job that returned too late may not be counted.
    fn panics(&self, counted: u64) -> u64 {
        let panics = self.handler.panics.load(Relaxed);
        if self.is_cut_short() { panics.min(counted) } else { panics }
    }

    fn check_end(&self, client: &Client) -> Result<(), String> {
        let ended = self.handler.ended.lock().expect("no panic while it was held");
        match ended.get(&client.port).map(Vec::as_slice) {
            Some(&[(reason, at)]) => client.check(reason, at, &self.timeouts),
            // Without a session, or with one that a worker had when time was over.
            None if client.panics_at == Some(Moment::Opened) || self.is_cut_short() => Ok(()),
            other => Err(format!("told of its end: {other:?}: {client:?}")),
        }
    }
}
