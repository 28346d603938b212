//! What the visits of one reactor share.

use std::sync::Arc;

use crate::net::socket::Socket;
use crate::net::token::Token;
use crate::server::budget::Budget;
use crate::server::connection_log::ConnectionLog;
use crate::server::handle::Handle;
use crate::server::handler::Handler;
use crate::server::handling::{Handled, Verdict, contained};
use crate::server::peer::{Peer, Pushed};
use crate::server::phase::Turn;
use crate::server::stats::{ReactorStats, Stats};
use crate::server::workers::{Job, Workers};
use crate::wire::reason::Reason;

/// What a reactor lends to each of its visits.
pub(crate) struct Shared<H: Handler> {
    pub(crate) server: Handle,
    pub(crate) handler: Arc<H>,
    /// The way to the workers; without it messages are handled inline.
    pub(crate) workers: Option<Workers<H::Session>>,
    pub(crate) budget: Budget,
    pub(crate) reactor: usize,
    /// The peers that have finished while pushes were on their way, which may be for them.
    pub(crate) finished: Vec<Token>,
    /// All that was pushed before the peers finished has arrived.
    pub(crate) is_last_turn: bool,
    /// As the acceptor has it.
    pub(crate) log: ConnectionLog,
}

impl<H: Handler> Shared<H> {
    pub(crate) fn new(
        server: Handle,
        handler: Arc<H>,
        workers: Option<Workers<H::Session>>,
        budget: usize,
        reactor: usize,
    ) -> Shared<H> {
        let budget = Budget::new(budget);
        let (finished, is_last_turn, log) = Default::default();
        Shared { server, handler, workers, budget, reactor, finished, is_last_turn, log }
    }

    /// Calls the handler. A panic in it ends here, is counted, and returns `None`.
    pub(crate) fn call<R>(&self, call: impl FnOnce(&H) -> R) -> Option<R> {
        let result = contained(|| call(&self.handler));
        if result.is_none() {
            self.stats().panics.add(1);
        }
        result
    }

    /// Counts what was handled, inline or by a worker.
    pub(crate) fn count(&self, handled: &Handled) {
        self.stats().messages.add(handled.messages);
        if handled.verdict == Verdict::End(Reason::Panic) {
            self.stats().panics.add(1);
        }
    }

    /// Tells the handler that a connection was closed.
    pub(crate) fn notify_closed(&self, session: Option<H::Session>, reason: Reason) {
        if let Some(session) = session {
            self.call(|handler| handler.closed(session, reason));
        }
    }

    /// A job returned whose connection was closed meanwhile: its replies are discarded, and
    /// its session is told now.
    pub(crate) fn discard_late_job(&mut self, job: &mut Job<H::Session>) {
        self.stats().stale.add(1);
        self.count(&job.handled);
        let session = job.session.take();
        let reason = self.workers.as_mut().and_then(|workers| workers.take_close_reason(job.token));
        if let Some(reason) = reason {
            self.notify_closed(session, reason);
        }
    }

    /// Has the peer keep a message that is pushed to it, if there is room.
    pub(crate) fn push<T: Socket>(
        &mut self,
        peer: &mut Peer<H::Session, T>,
        message: &[u8],
    ) -> Pushed {
        let held = peer.held();
        let pushed = peer.push(message, self.budget.push_room());
        if self.budget.is_spent() {
            self.budget.note_spent();
        }
        self.budget.account(held, peer.held());
        pushed
    }

    /// A peer has finished. Returns whether it must wait for what is on its way to this reactor.
    pub(crate) fn awaits_pushes(&mut self, token: Token) -> bool {
        let awaits = !self.is_last_turn && self.server.has_under_way(self.reactor);
        if awaits {
            self.finished.push(token);
        }
        awaits
    }

    /// Takes back a job that returned, to be used again.
    pub(crate) fn recycle(&mut self, job: Box<Job<H::Session>>) {
        if let Some(workers) = &mut self.workers {
            workers.recycle(job);
        }
    }

    /// The next connection that waits for a job, if one is free for it.
    pub(crate) fn next_waiting(&mut self) -> Option<Token> {
        self.workers.as_mut()?.next_waiting()
    }

    /// A connection was closed while its messages were the reactor's, a worker's or nobody's.
    pub(crate) fn forget(&mut self, token: Token, turn: Turn, reason: Reason) {
        match (turn, &mut self.workers) {
            (Turn::NoJob, Some(workers)) => workers.stop_waiting(token),
            (Turn::Worker, Some(workers)) => workers.note_closed(token, reason),
            _ => {}
        }
    }

    /// Returns whether no worker has a job of this reactor.
    pub(crate) fn is_idle(&self) -> bool {
        self.workers.as_ref().is_none_or(Workers::is_idle)
    }

    /// What this reactor counts.
    pub(crate) fn stats(&self) -> &ReactorStats {
        &self.all_stats().reactors[self.reactor]
    }

    /// What the whole server counts.
    pub(crate) fn all_stats(&self) -> &Stats {
        self.server.stats()
    }
}
