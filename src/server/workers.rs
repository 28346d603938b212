//! The way of messages to the workers and back.

use std::collections::{HashMap, VecDeque};

use crossbeam_channel::{Receiver, Sender};

use crate::net::token::Token;
use crate::server::handle::Handle;
use crate::server::handler::Handler;
use crate::server::handling::{Handled, OUTPUT_FULL, Verdict, handle};
use crate::wire::codec::{Codec, TooLong};
use crate::wire::reason::Reason;
use crate::wire::replies::ReplyBuffer;

/// Messages of one connection on their way to a worker, or the replies to them on the way
/// back. A connection has at most one job out, so its replies stay in order.
#[derive(Debug)]
pub(crate) struct Job<S> {
    pub(crate) token: Token,
    /// The reactor that it returns to.
    pub(crate) reactor: usize,
    /// The session of the connection, which a worker needs to handle its messages.
    pub(crate) session: Option<S>,
    /// What the connection had received, whole messages first.
    input: Vec<u8>,
    pub(crate) handled: Handled,
    pub(crate) replies: Vec<u8>,
}

/// One reactor's way to the workers.
///
/// Jobs are made once and used again. A reactor may have a fixed number of them: while none
/// is free its connections wait in a queue, unread.
#[derive(Debug)]
pub(crate) struct Workers<S> {
    reactor: usize,
    jobs: Sender<Box<Job<S>>>,
    /// Jobs that are not out.
    free: Vec<Box<Job<S>>>,
    /// How many bytes of memory the free jobs have.
    kept: usize,
    /// How many jobs there are, free or out.
    made: usize,
    most: usize,
    /// Connections that have whole messages and wait for a free job.
    waiting: VecDeque<Token>,
    /// Connections that were closed while their job was out, and why.
    closed: HashMap<Token, Reason>,
}

/// How many jobs one reactor may have out, so that the queue in front of the workers is
/// bounded however many connections there are.
pub(crate) const JOBS_PER_REACTOR: usize = 256;

/// How many bytes of memory the free jobs of one reactor keep for the next messages: enough
/// for all of them with small messages, or for a few with large ones.
const KEPT: usize = 1024 * 1024;

impl<S> Workers<S> {
    /// The way of `reactor` to the workers that receive `jobs`, with at most `most` jobs out.
    pub(crate) fn new(jobs: Sender<Box<Job<S>>>, reactor: usize, most: usize) -> Workers<S> {
        let (free, kept, made, waiting, closed) = Default::default();
        Workers { reactor, jobs, free, kept, made, most, waiting, closed }
    }

    /// Sends the bytes and the session to a worker, if the bytes begin with a whole message
    /// and a job is free. Without a free job the connection is queued for one.
    pub(crate) fn submit(
        &mut self,
        token: Token,
        session: &mut Option<S>,
        codec: &Codec,
        bytes: &[u8],
        searched: usize,
    ) -> Handled {
        match codec.decode(bytes, searched) {
            Ok(None) => return Handled::nothing(Verdict::NeedMore),
            Err(TooLong) => return Handled::nothing(Verdict::End(Reason::TooLong)),
            Ok(Some(_)) => {}
        }
        let Some(mut job) = self.free_job() else {
            self.waiting.push_back(token);
            return Handled::nothing(Verdict::NoJob);
        };
        job.token = token;
        job.session = session.take();
        job.input.extend_from_slice(bytes);
        // It never blocks: the channel has room for all jobs of all reactors.
        let sent = self.jobs.send(job);
        debug_assert!(sent.is_ok(), "workers outlive reactors");
        Handled { consumed: bytes.len(), messages: 0, verdict: Verdict::Submitted }
    }

    /// The next connection that waits for a job, if one is free for it.
    pub(crate) fn next_waiting(&mut self) -> Option<Token> {
        if self.has_free_job() { self.waiting.pop_front() } else { None }
    }

    /// A connection was closed while it waited for a job.
    pub(crate) fn stop_waiting(&mut self, token: Token) {
        self.waiting.retain(|&other| other != token);
    }

    /// A connection was closed while its job, and with it its session, was out.
    pub(crate) fn note_closed(&mut self, token: Token, reason: Reason) {
        self.closed.insert(token, reason);
    }

    /// Why the connection of a job that returned was closed while the job was out.
    pub(crate) fn take_close_reason(&mut self, token: Token) -> Option<Reason> {
        self.closed.remove(&token)
    }

    /// Takes back a job that returned, to be used again.
    pub(crate) fn recycle(&mut self, mut job: Box<Job<S>>) {
        job.empty();
        if self.kept + job.memory() > KEPT {
            self.made -= 1;
        } else {
            self.kept += job.memory();
            self.free.push(job);
        }
    }

    /// Returns whether no job is out.
    pub(crate) fn is_idle(&self) -> bool {
        self.free.len() == self.made
    }

    fn has_free_job(&self) -> bool {
        !self.free.is_empty() || self.made < self.most
    }

    fn free_job(&mut self) -> Option<Box<Job<S>>> {
        if self.free.is_empty() && self.made < self.most {
            self.made += 1;
            return Some(Box::new(Job::new(self.reactor)));
        }
        let job = self.free.pop()?;
        self.kept -= job.memory();
        Some(job)
    }
}

impl<S> Job<S> {
    fn new(reactor: usize) -> Job<S> {
        let (session, input, replies) = Default::default();
        let handled = Handled::nothing(Verdict::NeedMore);
        Job { token: Token::WAKE, reactor, session, input, handled, replies }
    }

    /// Handles its messages, as the worker that has it does.
    pub(crate) fn run(&mut self, server: &Handle, handler: &impl Handler<Session = S>) {
        let session = self.session.as_mut().expect("a job that is out has the session");
        let mut buffer = ReplyBuffer::from(std::mem::take(&mut self.replies));
        let mut replies = buffer.replies_to(&self.input);
        self.handled = handle(server, handler, session, 0, &mut replies);
        self.replies = replies.into_vec();
    }

    /// The bytes that the worker left over, for the connection to keep.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.input[self.handled.consumed..]
    }

    /// Forgets its bytes, and keeps some of their memory.
    fn empty(&mut self) {
        for bytes in [&mut self.input, &mut self.replies] {
            bytes.clear();
            bytes.shrink_to(OUTPUT_FULL);
        }
    }

    /// How many bytes of memory it has for bytes.
    fn memory(&self) -> usize {
        self.input.capacity() + self.replies.capacity()
    }
}

/// What a worker does: run each job, and send it back to its reactor.
pub(crate) fn work<H: Handler>(
    jobs: &Receiver<Box<Job<H::Session>>>,
    server: &Handle,
    handler: &H,
    send_back: impl Fn(Box<Job<H::Session>>),
) {
    for mut job in jobs {
        job.run(server, handler);
        send_back(job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::codec::Framing;

    #[test]
    fn a_burst_of_large_messages_leaves_little_memory_in_the_free_jobs() {
        let (sender, queue) = crossbeam_channel::bounded(JOBS_PER_REACTOR);
        let mut workers = Workers::new(sender, 0, JOBS_PER_REACTOR);
        let codec = Codec::new(Framing::Raw, 0);
        let submit_all = |workers: &mut Workers<()>, message: &[u8]| {
            for _ in 0..JOBS_PER_REACTOR {
                workers.submit(Token::WAKE, &mut Some(()), &codec, message, 0);
            }
        };
        submit_all(&mut workers, &[0; OUTPUT_FULL]);
        queue.try_iter().for_each(|job| workers.recycle(job));
        let memory: usize = workers.free.iter().map(|job| job.memory()).sum();
        assert!((1..=KEPT).contains(&memory), "{memory}");
        assert_eq!((workers.kept, workers.made), (memory, workers.free.len()));
        // The other jobs are made anew when they are needed, also for connections that wait.
        workers.free.clear();
        (workers.kept, workers.made) = (0, 0);
        workers.waiting.push_back(Token::WAKE);
        assert_eq!(workers.next_waiting(), Some(Token::WAKE));
        submit_all(&mut workers, b"small");
        assert_eq!(queue.len(), JOBS_PER_REACTOR);
    }
}
