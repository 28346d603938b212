//! A conversation: messages of a keyed stream out, and the same back.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reactor_server::parts::{Buffer, Event, Interest};
use reactor_server::program::framing::FramingFlag;
use socket2::SockRef;

use crate::clients::keyed_stream::fill;
use crate::clients::pool::{Client, Next, unless_blocked};
use crate::splitmix::mix;

/// What to send, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) wire: FramingFlag,
    pub(crate) messages: u64,
    /// How many messages may be unanswered.
    pub(crate) window: u64,
    /// The length of a message, by a random number. Only a framed one can be empty.
    pub(crate) length: fn(u64) -> usize,
    pub(crate) farewell: Farewell,
}

/// How it ends, once all is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// With a RST.
    Reset,
    /// With a FIN, which the server must answer with one.
    Finish,
    /// The FIN follows the last message at once, before the answers.
    FinishEarly,
}

/// One connection of a client that compares every byte.
pub(crate) struct Talk {
    socket: TcpStream,
    /// Of all its bytes, so that those of another are seen.
    key: u64,
    plan: Plan,
    queued: u64,
    /// How many messages came back.
    pub(crate) answered: u64,
    /// How far the keyed stream was used.
    position: u64,
    /// What must come back, of which the first `left` bytes were sent.
    due: Buffer,
    left: usize,
    /// The lengths of the messages in it.
    lengths: VecDeque<usize>,
    finished: bool,
    message: Vec<u8>,
}

impl Talk {
    pub(crate) fn new(socket: TcpStream, key: u64, plan: Plan) -> Talk {
        let (queued, answered, position, left) = Default::default();
        let (due, lengths, finished, message) = Default::default();
        let mut talk = Talk {
            socket,
            key,
            plan,
            queued,
            answered,
            position,
            due,
            left,
            lengths,
            finished,
            message,
        };
        talk.send_more();
        talk
    }

    /// Sends no further messages, and ends once all are answered.
    pub(crate) fn wind_up(&mut self) {
        self.plan.messages = self.queued;
    }

    /// Fills the window when half of it is free, so that messages travel together.
    fn send_more(&mut self) {
        if self.queued - self.answered > self.plan.window / 2 {
            return;
        }
        let until = self.plan.messages.min(self.answered + self.plan.window);
        while self.queued < until {
            self.queue();
        }
    }

    fn queue(&mut self) {
        let length = (self.plan.length)(mix(self.key ^ mix(self.queued)));
        let length = if self.plan.wire == FramingFlag::Raw { length.max(1) } else { length };
        let (head, tail) = match self.plan.wire {
            FramingFlag::Raw => (0, 0),
            FramingFlag::Len32 => (4, 0),
            FramingFlag::Line => (0, 1),
        };
        self.message.clear();
        self.message.resize(head + length + tail, b'\n');
        self.message[..head].copy_from_slice(&(length as u32).to_le_bytes()[..head]);
        let body = &mut self.message[head..head + length];
        fill(self.key, self.position, body);
        if self.plan.wire == FramingFlag::Line {
            body.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
        }
        self.due.append(&self.message);
        self.lengths.push_back(self.message.len());
        self.position += length as u64;
        self.queued += 1;
    }

    fn write(&mut self) -> Result<()> {
        let rest = &self.due.as_slice()[self.left..];
        if !rest.is_empty()
            && let Some(count) =
                unless_blocked((&self.socket).write(rest)).context("cannot send")?
        {
            self.left += count;
        }
        Ok(())
    }

    fn read(&mut self, scratch: &mut [u8]) -> Result<Next> {
        match unless_blocked((&self.socket).read(scratch)).context("cannot receive")? {
            None => Ok(Next::Continue),
            Some(0) => {
                let open = self.due.len();
                ensure!(self.finished && open == 0, "it was closed with {open} bytes unanswered");
                Ok(Next::Done)
            }
            Some(count) => self.compare(&scratch[..count]).map(|()| Next::Continue),
        }
    }

    fn compare(&mut self, bytes: &[u8]) -> Result<()> {
        ensure!(bytes.len() <= self.left, "more came back than was sent");
        let due = &self.due.as_slice()[..bytes.len()];
        if bytes != due {
            let at = bytes.iter().zip(due).take_while(|(is, want)| is == want).count();
            bail!("a byte is {} and not {}", bytes[at], due[at]);
        }
        self.due.consume(bytes.len());
        self.left -= bytes.len();
        self.count(bytes.len());
        Ok(())
    }

    /// Counts the messages that `bytes` more bytes complete.
    fn count(&mut self, mut bytes: usize) {
        while let Some(length) = self.lengths.front_mut() {
            if *length > bytes {
                *length -= bytes;
                break;
            }
            bytes -= *length;
            self.lengths.pop_front();
            self.answered += 1;
        }
    }

    /// Closes the connection, if it is time to.
    fn close_if_done(&mut self) -> Result<Next> {
        let all_sent = self.queued == self.plan.messages && self.left == self.due.len();
        let answered = all_sent && self.due.is_empty();
        match self.plan.farewell {
            Farewell::Reset if answered => {
                SockRef::from(&self.socket).set_linger(Some(Duration::ZERO))?;
                return Ok(Next::Done);
            }
            Farewell::Finish if answered && !self.finished => self.finish()?,
            Farewell::FinishEarly if all_sent && !self.finished => self.finish()?,
            _ => {}
        }
        Ok(Next::Continue)
    }

    fn finish(&mut self) -> Result<()> {
        self.finished = true;
        Ok(self.socket.shutdown(Shutdown::Write)?)
    }

    fn go_on(&mut self, event: Event, scratch: &mut [u8]) -> Result<Next> {
        if event.is_error()
            && let Some(error) = self.socket.take_error()?
        {
            return Err(error.into());
        }
        if event.is_readable() && self.read(scratch)? == Next::Done {
            return Ok(Next::Done);
        }
        self.send_more();
        self.write()?;
        self.close_if_done()
    }
}

impl Client for Talk {
    fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn interest(&self) -> Interest {
        if self.left < self.due.len() {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        }
    }

    fn ready(&mut self, event: Event, scratch: &mut [u8]) -> Result<Next> {
        self.go_on(event, scratch).with_context(|| {
            format!("connection {}, {} of {} messages back", self.key, self.answered, self.queued)
        })
    }
}
