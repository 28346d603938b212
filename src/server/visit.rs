//! One visit to one peer: read, answer, write.

use std::io;
use std::os::fd::AsRawFd;

use crate::net::connection::{SCRATCH, Tally};
use crate::net::poll::Event;
use crate::net::socket::Socket;
use crate::net::token::Token;
use crate::server::handler::{Handler, Reply};
use crate::server::handling::{Handled, OUTPUT_FULL, Verdict, handle};
use crate::server::patience::Waiting;
use crate::server::peer::{Arrival, Peer};
use crate::server::phase::Turn;
use crate::server::shared::Shared;
use crate::server::workers::Job;
use crate::wire::reason::Reason;
use crate::wire::replies::ReplyBuffer;

/// A visit of a reactor to one of its peers, from [`ready`](Visit::ready) to
/// [`end`](Visit::end). When it ends, every message that could be answered is answered.
pub(crate) struct Visit<'a, H: Handler, T: Socket> {
    token: Token,
    peer: &'a mut Peer<H::Session, T>,
    shared: &'a mut Shared<H>,
    /// What the peer had received and sent, and what it held, when the visit began.
    before: (Tally, usize),
}

/// The buffers of a reactor, lent to each visit. Between visits they hold nothing.
#[derive(Debug)]
pub(crate) struct Scratch {
    input: Box<[u8]>,
    replies: ReplyBuffer,
}

impl Scratch {
    pub(crate) fn new() -> Scratch {
        Scratch { input: vec![0; SCRATCH].into(), replies: ReplyBuffer::default() }
    }

    /// Frees the memory of replies that were much longer than most are.
    pub(crate) fn trim(&mut self) {
        self.replies.shrink_to(2 * OUTPUT_FULL);
    }
}

impl<'a, H: Handler, T: Socket> Visit<'a, H, T> {
    pub(crate) fn new(
        token: Token,
        peer: &'a mut Peer<H::Session, T>,
        shared: &'a mut Shared<H>,
    ) -> Visit<'a, H, T> {
        let before = (peer.tally(), peer.held());
        Visit { token, peer, shared, before }
    }

    /// The peer is new: the handler makes its session, and may speak first.
    pub(crate) fn open(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        let id = self.shared.server.name(self.shared.reactor, self.token);
        let address = self.peer.address();
        let mut replies = scratch.replies.replies_to(&[]);
        let mut reply = Reply::new(&self.shared.server, 0..0, replies.reborrow());
        let opened = self.shared.call(|handler| handler.opened(id, address, &mut reply));
        let verdict = if reply.closes() { Verdict::End(Reason::Close) } else { Verdict::NeedMore };
        let Some(session) = opened else { return Ok(()) };
        self.peer.open(session);
        self.conclude(&Handled::nothing(verdict), replies.as_slice()).map(drop)
    }

    /// Epoll reports the peer. The way of a message begins here: [`read`](Visit::read),
    /// [`answer`](Visit::answer), [`conclude`](Visit::conclude).
    pub(crate) fn ready(&mut self, event: Event, scratch: &mut Scratch) -> io::Result<()> {
        if event.is_error() {
            return Err(self.peer.socket().take_failure());
        }
        // What this reports may be used up: mail is read before events.
        if event.is_writable() && self.peer.has_unsent() {
            self.write(scratch)?;
        }
        if !event.is_readable() {
            return Ok(());
        }
        if !self.peer.is_our_turn() {
            self.peer.note_sent_early();
            return Ok(());
        }
        self.read(scratch)
    }

    /// Reads once, as much as is allowed now, and answers it.
    fn read(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        let most = self.shared.budget.read_size().min(self.peer.may_read());
        if most == 0 {
            return Ok(());
        }
        if self.shared.budget.is_spent() {
            self.shared.budget.note_spent();
            self.shared.stats().reduced_reads.add(1);
        }
        match self.peer.receive(&mut scratch.input[..most])? {
            Arrival::Nothing => {}
            Arrival::Discarded(count) => self.shared.stats().discarded.add(count as u64),
            Arrival::Bytes(count) if self.peer.has_unhandled() => {
                let searched = self.peer.keep_unhandled(&scratch.input[..count]);
                self.answer_unhandled(searched, scratch)?;
            }
            Arrival::Bytes(count) => {
                let input = &scratch.input[..count];
                let done = self.answer(input, 0, &mut scratch.replies)?;
                self.peer.keep_unhandled(&input[done..]);
            }
        }
        Ok(())
    }

    /// Answers messages that were kept, if they may be handled now. Their first `searched`
    /// bytes hold no whole message.
    fn answer_unhandled(&mut self, searched: usize, scratch: &mut Scratch) -> io::Result<()> {
        let mut unhandled = self.peer.take_unhandled();
        let done = self.answer(unhandled.as_slice(), searched, &mut scratch.replies)?;
        unhandled.consume(done);
        self.peer.put_back_unhandled(unhandled);
        Ok(())
    }

    /// Has the whole messages of `input` handled and sends the replies, until the rest is no
    /// whole message or must wait. Returns how many bytes are done with.
    ///
    /// The first `searched` bytes hold no whole message.
    fn answer(
        &mut self,
        input: &[u8],
        mut searched: usize,
        buffer: &mut ReplyBuffer,
    ) -> io::Result<usize> {
        let mut done = 0;
        while self.peer.may_be_answered() {
            let Shared { server, handler, workers, .. } = &mut *self.shared;
            let (rest, session) = (&input[done..], self.peer.session());
            // The replies carry the input: they may repeat it.
            let mut replies = buffer.replies_to(rest);
            let handled = match workers {
                Some(workers) => {
                    workers.submit(self.token, session, server.codec(), rest, searched)
                }
                None => {
                    let session = session.as_mut().expect("a peer without one is over");
                    handle(server, &**handler, session, searched, &mut replies)
                }
            };
            searched = 0;
            done += handled.consumed;
            match self.conclude(&handled, replies.as_slice())? {
                Verdict::OutputFull => {}
                Verdict::End(_) => return Ok(input.len()),
                Verdict::NeedMore | Verdict::Submitted | Verdict::NoJob => break,
            }
        }
        Ok(done)
    }

    /// Counts what was handled, sends the replies and applies the verdict to the peer. If the
    /// handler panics in `sent`, the verdict is a failure.
    fn conclude(&mut self, handled: &Handled, replies: &[u8]) -> io::Result<Verdict> {
        let mut verdict = handled.verdict;
        self.shared.count(handled);
        self.peer.count_messages(handled.messages);
        if !replies.is_empty() {
            self.peer.send(replies)?;
            if !self.notify_sent() {
                verdict = Verdict::End(Reason::Panic);
            }
        }
        match verdict {
            Verdict::NeedMore | Verdict::OutputFull => {}
            Verdict::Submitted => self.peer.wait_for_worker(),
            Verdict::NoJob => {
                self.shared.stats().waits.add(1);
                self.peer.wait_for_job();
            }
            Verdict::End(reason) => self.peer.give_up(reason),
        }
        Ok(verdict)
    }

    /// Writes what was kept, then goes on with the messages behind it.
    pub(crate) fn write(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        self.flush()?;
        self.answer_unhandled(0, scratch)
    }

    /// Writes what was kept.
    fn flush(&mut self) -> io::Result<()> {
        self.peer.flush()?;
        if !self.notify_sent() {
            self.peer.give_up(Reason::Panic);
        }
        Ok(())
    }

    /// Writes what was pushed. Nothing was unsent before that, so no message waits behind it.
    pub(crate) fn send_pushed(&mut self) -> io::Result<()> {
        if self.peer.has_untried() { self.flush() } else { Ok(()) }
    }

    /// The server closes the connection when all that was said is sent. It does not wait for a
    /// job.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        if !self.peer.close() {
            self.shared.stats().pushes_late.add(1);
        } else if self.peer.turn() == Turn::NoJob {
            self.shared.forget(self.token, Turn::NoJob, Reason::Close);
            self.peer.resume();
        }
        Ok(())
    }

    /// Tells the handler if the kernel took all replies. Returns `false` if it panics.
    fn notify_sent(&mut self) -> bool {
        match (self.peer.has_unsent(), self.peer.session()) {
            (false, Some(session)) => self.shared.call(|handler| handler.sent(session)).is_some(),
            _ => true,
        }
    }

    /// A job is free, and the peer is the next that waits for one.
    pub(crate) fn take_job(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        self.peer.resume();
        self.answer_unhandled(0, scratch)
    }

    /// The peer's job returned: sends the replies, and what was pushed meanwhile behind them.
    /// Then goes on with what the worker left.
    pub(crate) fn finish_job(
        &mut self,
        job: &mut Job<H::Session>,
        scratch: &mut Scratch,
    ) -> io::Result<()> {
        job.replies.extend_from_slice(self.peer.take_deferred().as_slice());
        self.peer.resume();
        *self.peer.session() = job.session.take();
        self.peer.keep_unhandled(job.rest());
        match self.conclude(&job.handled, &job.replies)? {
            Verdict::OutputFull => self.answer_unhandled(0, scratch),
            _ => Ok(()),
        }
    }

    /// The server drains: of this peer, only what has arrived by now is read.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        self.peer.drain()
    }

    /// The peer has used up its time, unless the server is late. So what the peer did
    /// meanwhile, and epoll has not reported yet, is caught up with first.
    pub(crate) fn time_out(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        match self.peer.waiting() {
            Waiting::Room => self.write(scratch)?,
            _ => self.read_what_arrived(scratch)?,
        }
        self.peer.time_out();
        Ok(())
    }

    fn read_what_arrived(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        let mut left = u64::from(self.peer.socket().arrived()?);
        while left > 0 {
            let before = self.peer.tally().received;
            self.read(scratch)?;
            match self.peer.tally().received - before {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        Ok(())
    }

    /// Ends the visit, whatever came of it. The peer goes on to its next phase, if it may,
    /// and what was done is counted. Returns why the connection is over, if it is.
    ///
    /// A peer that has finished goes on only when what was pushed before has reached it.
    pub(crate) fn end(self, result: io::Result<()>) -> Option<Reason> {
        let waits = self.peer.is_done() && self.shared.awaits_pushes(self.token);
        let result = result.and_then(|()| if waits { Ok(()) } else { self.peer.advance() });
        let (tally, held) = self.before;
        let (after, stats) = (self.peer.tally(), self.shared.stats());
        if tally.received == 0 && after.received > 0 {
            self.shared.log.used(self.peer.socket().as_fd().as_raw_fd(), self.peer.address());
        }
        stats.received.add(after.received - tally.received);
        stats.sent.add(after.sent - tally.sent);
        self.shared.budget.account(held, self.peer.held());
        match result {
            Ok(()) => self.peer.over(),
            Err(error) => Some(Reason::of(&error)),
        }
    }
}
