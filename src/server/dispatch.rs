//! Who handles messages: the reactor itself, or workers and back.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use crate::net::token::Token;
use crate::wire::codec::{Codec, TooLong};
use crate::wire::handler::{Handler, Reply};
use crate::wire::reason::Reason;
use crate::wire::replies::Replies;

/// Handles the messages of one reactor's connections.
pub(crate) struct Dispatch<H: Handler> {
    pub(crate) codec: Arc<Codec>,
    pub(crate) handler: Arc<H>,
    /// Those to what was handled last.
    pub(crate) replies: Replies,
    pool: Option<Pool<H::Session>>,
}

/// What became of some bytes.
#[derive(Debug)]
pub(crate) struct Served {
    /// How many of them, from the front, are done with.
    pub(crate) consumed: usize,
    pub(crate) messages: u64,
    pub(crate) outcome: Outcome,
}

/// Why no more of them are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// What is left is not a whole message.
    Hungry,
    /// There are replies enough to be sent first.
    Full,
    /// Whole messages are left, and no job is free to carry them.
    NoJob,
    /// A worker has them.
    Away,
    /// No good can come of this connection.
    Failed(Reason),
}

/// Messages of one connection on their way to a worker, or their replies on the
/// way back. A connection has at most one out, so its replies stay in order.
#[derive(Debug)]
pub(crate) struct Job<S> {
    pub(crate) token: Token,
    pub(crate) reactor: usize,
    /// What the connection had received, whole messages first.
    input: Vec<u8>,
    pub(crate) session: Option<S>,
    pub(crate) served: Served,
    pub(crate) replies: Replies,
}

/// A reactor's way to the workers.
///
/// The jobs are made once and used again; having none to spare is how a reactor
/// knows that it has as many out as it may.
#[derive(Debug)]
struct Pool<S> {
    reactor: usize,
    workers: Sender<Box<Job<S>>>,
    spare: Vec<Box<Job<S>>>,
    /// How much memory the spare ones have.
    kept: usize,
    made: usize,
    most: usize,
    line: VecDeque<Token>,
    /// Connections that were closed while their job was out, and why.
    orphans: HashMap<Token, Reason>,
}

/// How many jobs a reactor may have out, so that the queue in front of the
/// workers is bounded however many connections there are.
pub(crate) const JOBS_A_REACTOR: usize = 256;

/// So many bytes of replies are sent before more are made, and so much of a
/// job's memory is kept when it comes home.
const ENOUGH: usize = 64 * 1024;

/// So much memory a reactor's spare jobs keep for the next messages: enough for all
/// with small ones, or for a few with large ones.
const KEPT: usize = 1024 * 1024;

impl<H: Handler> Dispatch<H> {
    /// Handles messages on the reactor itself.
    pub(crate) fn inline(codec: Arc<Codec>, handler: Arc<H>) -> Dispatch<H> {
        Dispatch { codec, handler, replies: Replies::default(), pool: None }
    }

    /// Has messages handled by `workers`, who send the replies to `reactor`; it may
    /// have so many `jobs` out.
    pub(crate) fn through(
        self,
        workers: Sender<Box<Job<H::Session>>>,
        reactor: usize,
        jobs: usize,
    ) -> Dispatch<H> {
        Dispatch { pool: Some(Pool::new(workers, reactor, jobs)), ..self }
    }

    /// Handles the whole messages in `bytes`, or sends them to the workers.
    pub(crate) fn handle(
        &mut self,
        token: Token,
        session: &mut Option<H::Session>,
        bytes: &[u8],
        searched: usize,
    ) -> Served {
        match &mut self.pool {
            None => serve(&self.codec, &*self.handler, session, bytes, searched, &mut self.replies),
            Some(pool) => match self.codec.decode(bytes, searched) {
                Ok(None) => Served::with(Outcome::Hungry),
                Ok(Some(_)) => pool.submit(token, session, bytes),
                Err(TooLong) => Served::with(Outcome::Failed(Reason::TooLong)),
            },
        }
    }

    /// The replies were sent: makes room for the next.
    pub(crate) fn clear_replies(&mut self) {
        self.replies.clear(2 * ENOUGH);
    }

    /// A job has come home and was settled: it may go out again.
    pub(crate) fn recycle(&mut self, job: Box<Job<H::Session>>) {
        if let Some(pool) = &mut self.pool {
            pool.recycle(job);
        }
    }

    /// The next connection in line, if there is a job for it.
    pub(crate) fn next_in_line(&mut self) -> Option<Token> {
        self.pool.as_mut()?.next_in_line()
    }

    /// A connection was closed while it waited for a job.
    pub(crate) fn leave_line(&mut self, token: Token) {
        if let Some(pool) = &mut self.pool {
            pool.line.retain(|&other| other != token);
        }
    }

    /// A connection was closed while its job, and so its session, is out.
    pub(crate) fn orphan(&mut self, token: Token, reason: Reason) {
        if let Some(pool) = &mut self.pool {
            pool.orphans.insert(token, reason);
        }
    }

    /// Why the connection of a job that has come home was closed meanwhile.
    pub(crate) fn orphaned(&mut self, token: Token) -> Option<Reason> {
        self.pool.as_mut()?.orphans.remove(&token)
    }

    /// Whether all jobs are home.
    pub(crate) fn is_idle(&self) -> bool {
        self.pool.as_ref().is_none_or(|pool| pool.spare.len() == pool.made)
    }
}

impl<S> Pool<S> {
    fn new(workers: Sender<Box<Job<S>>>, reactor: usize, most: usize) -> Pool<S> {
        let (spare, kept, made, line, orphans) = Default::default();
        Pool { reactor, workers, spare, kept, made, most, line, orphans }
    }

    fn submit(&mut self, token: Token, session: &mut Option<S>, bytes: &[u8]) -> Served {
        let Some(mut job) = self.spare_job() else {
            self.line.push_back(token);
            return Served::with(Outcome::NoJob);
        };
        job.token = token;
        job.session = session.take();
        job.input.extend_from_slice(bytes);
        // It never blocks: there is room for all the jobs of all reactors.
        let sent = self.workers.send(job);
        debug_assert!(sent.is_ok(), "workers outlive reactors");
        Served { consumed: bytes.len(), messages: 0, outcome: Outcome::Away }
    }

    fn next_in_line(&mut self) -> Option<Token> {
        if self.has_job() { self.line.pop_front() } else { None }
    }

    fn has_job(&self) -> bool {
        !self.spare.is_empty() || self.made < self.most
    }

    fn spare_job(&mut self) -> Option<Box<Job<S>>> {
        if self.spare.is_empty() && self.made < self.most {
            self.made += 1;
            return Some(Box::new(Job::new(self.reactor)));
        }
        let job = self.spare.pop()?;
        self.kept -= job.memory();
        Some(job)
    }

    fn recycle(&mut self, mut job: Box<Job<S>>) {
        job.input.clear();
        job.input.shrink_to(ENOUGH);
        job.replies.clear(ENOUGH);
        if self.kept + job.memory() > KEPT {
            self.made -= 1;
        } else {
            self.kept += job.memory();
            self.spare.push(job);
        }
    }
}

impl<S> Job<S> {
    fn new(reactor: usize) -> Job<S> {
        Job {
            token: Token::WAKE,
            reactor,
            input: Vec::new(),
            session: None,
            served: Served::with(Outcome::Hungry),
            replies: Replies::default(),
        }
    }

    /// Handles its messages.
    pub(crate) fn handle(&mut self, codec: &Codec, handler: &impl Handler<Session = S>) {
        let Job { input, session, served, replies, .. } = self;
        *served = serve(codec, handler, session, input, 0, replies);
        replies.own(input);
    }

    /// How much memory it has for bytes.
    fn memory(&self) -> usize {
        self.input.capacity() + self.replies.memory()
    }

    /// What the worker left over, for the connection to keep.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.input[self.served.consumed..]
    }
}

impl Served {
    fn with(outcome: Outcome) -> Served {
        Served { consumed: 0, messages: 0, outcome }
    }
}

/// What a worker does: handle each job that comes and send it home.
pub(crate) fn work<H: Handler>(
    jobs: &Receiver<Box<Job<H::Session>>>,
    codec: &Codec,
    handler: &H,
    send_home: impl Fn(Box<Job<H::Session>>),
) {
    for mut job in jobs {
        job.handle(codec, handler);
        send_home(job);
    }
}

/// Handles the whole messages in `bytes` until they end or the replies suffice.
fn serve<H: Handler>(
    codec: &Codec,
    handler: &H,
    session: &mut Option<H::Session>,
    bytes: &[u8],
    searched: usize,
    replies: &mut Replies,
) -> Served {
    let mut served = Served::with(Outcome::Failed(Reason::Panic));
    if let Some(session) = session
        && let Some(outcome) = contained(|| {
            each_message(codec, handler, session, bytes, searched, replies, &mut served)
        })
    {
        served.outcome = outcome;
    }
    served
}

/// Runs the handler's code; a panic ends there, and comes to nothing.
pub(crate) fn contained<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

fn each_message<H: Handler>(
    codec: &Codec,
    handler: &H,
    session: &mut H::Session,
    bytes: &[u8],
    mut searched: usize,
    replies: &mut Replies,
    served: &mut Served,
) -> Outcome {
    while replies.len() <= ENOUGH {
        match codec.decode(&bytes[served.consumed..], searched) {
            Ok(None) => return Outcome::Hungry,
            Err(TooLong) => return Outcome::Failed(Reason::TooLong),
            Ok(Some(frame)) => {
                let place = served.consumed..served.consumed + frame.length;
                served.consumed = place.end;
                served.messages += 1;
                let mut reply = Reply::new(codec, bytes, place, replies);
                handler.message(session, frame.body, &mut reply);
            }
        }
        searched = 0;
    }
    Outcome::Full
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_large_messages_leaves_little_in_the_spare_jobs() {
        let (workers, queue) = crossbeam_channel::bounded(JOBS_A_REACTOR);
        let mut pool = Pool::new(workers, 0, JOBS_A_REACTOR);
        let send_all = |pool: &mut Pool<()>, message: &[u8]| {
            for _ in 0..JOBS_A_REACTOR {
                pool.submit(Token::WAKE, &mut Some(()), message);
            }
        };
        send_all(&mut pool, &[0; ENOUGH]);
        queue.try_iter().for_each(|job| pool.recycle(job));
        let memory: usize = pool.spare.iter().map(|job| job.memory()).sum();
        assert!((1..=KEPT).contains(&memory), "{memory}");
        assert_eq!((pool.kept, pool.made), (memory, pool.spare.len()));
        // The others are made anew when they are needed, by those in line too.
        pool.spare.clear();
        (pool.kept, pool.made) = (0, 0);
        pool.line.push_back(Token::WAKE);
        assert_eq!(pool.next_in_line(), Some(Token::WAKE));
        send_all(&mut pool, b"small");
        assert_eq!(queue.len(), JOBS_A_REACTOR);
    }
}
