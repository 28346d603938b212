//! One visit to one peer: read, answer, write.

use std::io;
use std::thread;

use crate::net::connection::{SCRATCH, Tally};
use crate::net::poll::Event;
use crate::net::socket::Socket;
use crate::net::token::Token;
use crate::server::handling::{Handled, OUTPUT_FULL, Verdict, handle};
use crate::server::patience::Waiting;
use crate::server::peer::{Arrival, Peer};
use crate::server::shared::Shared;
use crate::server::workers::Job;
use crate::wire::handler::Handler;
use crate::wire::reason::Reason;
use crate::wire::replies::ReplyBuffer;

/// A visit of a reactor to one of its peers.
///
/// It reads once, or a few times where that pays, handles the whole messages and writes the
/// replies. It leaves a peer that has nothing more to be answered, or that waits: for the
/// rest of a message, for room to write, for a worker.
pub(crate) struct Visit<'a, H: Handler, T: Socket> {
    token: Token,
    peer: &'a mut Peer<H::Session, T>,
    shared: &'a mut Shared<H>,
    /// What the peer had received and sent, and what it held, when the visit began.
    before: (Tally, usize),
}

/// The buffers of a reactor, lent to each visit: between visits they hold nothing.
#[derive(Debug)]
pub(crate) struct Scratch {
    input: Box<[u8]>,
    replies: ReplyBuffer,
}

impl Scratch {
    pub(crate) fn new() -> Scratch {
        Scratch { input: vec![0; SCRATCH].into(), replies: ReplyBuffer::default() }
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

    /// Epoll reports the peer. This is the way of a message: [`read`](Visit::read) it,
    /// [`answer`](Visit::answer) it, [`conclude`](Visit::conclude) with its reply.
    pub(crate) fn ready(&mut self, event: Event, scratch: &mut Scratch) -> io::Result<()> {
        if event.is_error() {
            return Err(self.peer.socket().failure());
        }
        if event.is_writable() {
            self.write(scratch)?;
        }
        if event.is_readable() {
            match self.peer.is_our_turn() {
                true => self.read_while_it_pays(scratch)?,
                false => self.peer.note_early(),
            }
        }
        Ok(())
    }

    /// Reads once, and again as long as that has lately paid, up to [`SCRATCH`] bytes more.
    fn read_while_it_pays(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        let enough = self.peer.tally().received + SCRATCH as u64;
        self.read(scratch)?;
        let goes_on =
            |peer: &Peer<H::Session, T>| peer.is_talking() && peer.tally().received < enough;
        let mut extra = goes_on(self.peer).then(|| self.shared.read_again.begin()).flatten();
        while let Some(begun) = extra {
            let brought_message = self.read_or_yield(scratch)?;
            let more = self.shared.read_again.go_on(begun, brought_message);
            extra = more.filter(|_| goes_on(self.peer));
        }
        Ok(())
    }

    /// Reads once, and if that brings nothing once more after others had the CPU. Returns
    /// whether it brought a message.
    fn read_or_yield(&mut self, scratch: &mut Scratch) -> io::Result<bool> {
        let (messages, received) = (self.peer.messages(), self.peer.tally().received);
        self.read(scratch)?;
        if self.peer.tally().received == received && self.peer.is_talking() {
            thread::yield_now();
            self.read(scratch)?;
        }
        Ok(self.peer.messages() > messages)
    }

    /// Reads once, as much as is allowed now, and answers it.
    fn read(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        let Scratch { input, replies } = scratch;
        let size = self.shared.budget.read_size();
        let most = size.min(self.peer.may_read());
        if most == 0 {
            return Ok(());
        }
        if size < SCRATCH {
            self.shared.stats().reduced_reads.add(1);
        }
        match self.peer.receive(&mut input[..most])? {
            Arrival::Nothing => Ok(()),
            Arrival::Bytes(count) => self.take_in(&input[..count], replies),
            Arrival::Discarded(count) => {
                self.shared.stats().discarded.add(count as u64);
                Ok(())
            }
        }
    }

    /// Answers bytes that were read, where they are unless others came before them, and
    /// keeps what is no whole message.
    fn take_in(&mut self, bytes: &[u8], replies: &mut ReplyBuffer) -> io::Result<()> {
        let mut held = self.peer.take_held();
        if held.is_empty() {
            let done = self.answer(bytes, 0, replies)?;
            held.append(&bytes[done..]);
        } else {
            let searched = held.len();
            held.append(bytes);
            let done = self.answer(held.as_slice(), searched, replies)?;
            held.consume(done);
        }
        self.peer.keep(held);
        Ok(())
    }

    /// Answers messages that were kept, if they may be handled now.
    pub(crate) fn answer_held(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        let mut held = self.peer.take_held();
        let done = self.answer(held.as_slice(), 0, &mut scratch.replies)?;
        held.consume(done);
        self.peer.keep(held);
        Ok(())
    }

    /// Has the whole messages of `input` handled and sends the replies, until the rest is no
    /// whole message or must wait. Returns how many bytes are done with.
    ///
    /// `searched` bytes at the front were seen before not to hold a whole message.
    fn answer(
        &mut self,
        input: &[u8],
        mut searched: usize,
        buffer: &mut ReplyBuffer,
    ) -> io::Result<usize> {
        let mut done = 0;
        while self.peer.may_be_answered() {
            let Shared { codec, handler, workers, .. } = &mut *self.shared;
            let (rest, session) = (&input[done..], self.peer.session());
            let mut replies = buffer.replies_to(rest);
            let handled = match workers {
                Some(workers) => workers.submit(self.token, session, codec, rest, searched),
                None => {
                    let session = session.as_mut().expect("a peer without one is closed at once");
                    handle(codec, &**handler, session, searched, &mut replies)
                }
            };
            searched = 0;
            done += handled.consumed;
            match self.conclude(&handled, replies.as_slice())? {
                Verdict::OutputFull => {}
                Verdict::NeedMore | Verdict::Submitted | Verdict::NoJob => break,
                Verdict::Failed(_) => {
                    done = input.len();
                    break;
                }
            }
        }
        buffer.shrink_to(2 * OUTPUT_FULL);
        Ok(done)
    }

    /// Counts what was handled, sends the replies and applies the verdict to the peer. The
    /// verdict becomes a failure if the handler panics when it is told that they were sent.
    fn conclude(&mut self, handled: &Handled, replies: &[u8]) -> io::Result<Verdict> {
        let mut verdict = handled.verdict;
        self.shared.count(handled);
        self.peer.count_messages(handled.messages);
        if !replies.is_empty() {
            self.peer.send(replies)?;
            if self.notify_sent().is_none() {
                verdict = Verdict::Failed(Reason::Panic);
            }
        }
        match verdict {
            Verdict::NeedMore | Verdict::OutputFull => {}
            Verdict::Submitted => self.peer.wait_for_worker(),
            Verdict::NoJob => {
                self.shared.stats().waits.add(1);
                self.peer.wait_for_job();
            }
            Verdict::Failed(reason) => self.peer.give_up(reason),
        }
        Ok(verdict)
    }

    /// Writes replies that were kept, then goes on with the messages behind them.
    fn write(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        self.peer.flush()?;
        if self.notify_sent().is_none() {
            self.peer.give_up(Reason::Panic);
        }
        self.answer_held(scratch)
    }

    /// Tells the handler if the kernel took all replies. Returns `None` if it panics.
    fn notify_sent(&mut self) -> Option<()> {
        match (self.peer.has_unsent(), self.peer.session()) {
            (false, Some(session)) => self.shared.call(|handler| handler.sent(session)),
            _ => Some(()),
        }
    }

    /// A job was free, and the peer is the next that waits for one.
    pub(crate) fn take_job(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        self.peer.resume();
        self.answer_held(scratch)
    }

    /// The peer's job returned: sends the replies, and goes on with what the worker left.
    pub(crate) fn finish_job(
        &mut self,
        job: &mut Job<H::Session>,
        scratch: &mut Scratch,
    ) -> io::Result<()> {
        self.peer.resume();
        *self.peer.session() = job.session.take();
        let mut held = self.peer.take_held();
        held.append(job.rest());
        self.peer.keep(held);
        match self.conclude(&job.handled, &job.replies)? {
            Verdict::OutputFull => self.answer_held(scratch),
            _ => Ok(()),
        }
    }

    /// The server drains: the peer is read from until all that had arrived is read.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        self.peer.drain()
    }

    /// The peer has used up its time, unless the server is late: what the peer did and epoll
    /// has not reported yet is caught up with first.
    pub(crate) fn expire(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        match self.peer.waiting() {
            Waiting::Room => self.write(scratch)?,
            _ => self.read_what_arrived(scratch)?,
        }
        self.peer.expire();
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

    /// Ends the visit: the peer goes on to its next phase, if all that was read is answered,
    /// and what was done is accounted for. Returns why the connection is over, if it is.
    pub(crate) fn end(self, result: io::Result<()>) -> Option<Reason> {
        let result = result.and_then(|()| self.peer.advance());
        let (tally, held) = self.before;
        let (after, stats) = (self.peer.tally(), self.shared.stats());
        stats.received.add(after.received - tally.received);
        stats.sent.add(after.sent - tally.sent);
        self.shared.budget.account(held, self.peer.held());
        match result {
            Ok(()) => self.peer.over(),
            Err(error) => Some(Reason::of(&error)),
        }
    }
}
