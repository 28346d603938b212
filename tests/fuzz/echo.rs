//! Echoes a stream over a socket that does what the input tells it: `scripts/fuzz.sh`.
#![no_main]

#[path = "../shared/reference_codec.rs"]
mod reference_codec;

use std::io::{self, Read, Write};

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use reactor_server::Framing;
use reactor_server::parts::{Buffer, Codec, Connection, Received, Tally, TooLong};

/// The plan in the input.
#[derive(Debug, Arbitrary)]
struct Plan<'a> {
    wire: Wire,
    max_message: u8,
    scratch: u8,
    /// Whether each reply is sent on its own, not all that one read gave together.
    one_by_one: bool,
    steps: Vec<Step>,
    incoming: &'a [u8],
}

#[derive(Debug, Arbitrary)]
enum Wire {
    Raw,
    Fixed(u8),
    Len32,
    Line,
    Delimited(u8, [u8; 3]),
}

/// What becomes of the next read or write.
#[derive(Debug, Clone, Copy, Arbitrary)]
enum Step {
    Count(u8),
    WouldBlock,
    Interrupted,
}

impl Wire {
    fn framing(&self) -> Framing {
        match *self {
            Wire::Raw => Framing::Raw,
            Wire::Fixed(size) => Framing::Fixed(usize::from(size).max(1)),
            Wire::Len32 => Framing::Len32,
            Wire::Line => Framing::line(),
            Wire::Delimited(size, bytes) => {
                Framing::Delimited(bytes[..usize::from(size % 3) + 1].to_vec())
            }
        }
    }
}

/// A socket that takes its steps, and after the last whatever it is asked for.
struct Script<'a> {
    steps: std::vec::IntoIter<Step>,
    incoming: &'a [u8],
    outgoing: Vec<u8>,
}

impl Script<'_> {
    fn step(&mut self, wanted: usize) -> io::Result<usize> {
        match self.steps.next() {
            None => Ok(wanted),
            Some(Step::Count(count)) => Ok(wanted.min(count.into())),
            Some(Step::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Some(Step::Interrupted) => Err(io::ErrorKind::Interrupted.into()),
        }
    }
}

impl Read for Script<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = buffer.len().min(self.incoming.len());
        // Nothing would mean that the peer has finished.
        let count = self.step(there)?.max(1).min(there);
        let (now, later) = self.incoming.split_at(count);
        buffer[..count].copy_from_slice(now);
        self.incoming = later;
        Ok(count)
    }
}

impl Write for Script<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.step(bytes.len())?;
        self.outgoing.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One end of the conversation: what a reactor does with a peer, in short.
struct Echo<'a> {
    connection: Connection<Script<'a>>,
    codec: Codec,
    one_by_one: bool,
    held: Buffer,
    messages: Vec<Vec<u8>>,
    refused: bool,
}

impl Echo<'_> {
    /// Echoes until the peer has finished or is refused, and all replies have left.
    fn run(&mut self, scratch: &mut [u8]) -> io::Result<()> {
        let mut finished = false;
        while self.connection.has_unsent() || !(finished || self.refused) {
            if self.connection.has_unsent() {
                self.connection.flush()?;
                continue;
            }
            match self.connection.receive(scratch)? {
                Received::NotYet => {}
                Received::Eof => finished = true,
                Received::Bytes(count) => self.take_in(&scratch[..count])?,
            }
        }
        Ok(())
    }

    fn take_in(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut searched = self.held.len();
        self.held.append(bytes);
        let mut replies = Vec::new();
        loop {
            match self.codec.decode(self.held.as_slice(), searched) {
                Ok(None) => break,
                Err(TooLong) => {
                    self.refused = true;
                    break;
                }
                Ok(Some(frame)) => {
                    let (front, back) = frame.body.split_at(frame.body.len() / 2);
                    self.codec.encode(&[front, back], &mut replies);
                    self.messages.push(frame.body.to_vec());
                    let length = frame.length;
                    self.held.consume(length);
                }
            }
            if self.one_by_one {
                self.connection.send(&std::mem::take(&mut replies))?;
            }
            searched = 0;
        }
        self.connection.send(&replies)
    }
}

fuzz_target!(|plan: Plan<'_>| {
    let (framing, max) = (plan.wire.framing(), usize::from(plan.max_message));
    let expected = reference_codec::decode(&framing, max, plan.incoming);
    let echoed = &plan.incoming[..plan.incoming.len() - expected.rest.len()];

    let steps = plan.steps.into_iter();
    let script = Script { steps, incoming: plan.incoming, outgoing: Vec::new() };
    let mut echo = Echo {
        connection: Connection::new(script),
        codec: Codec::new(framing.clone(), max),
        one_by_one: plan.one_by_one,
        held: Buffer::default(),
        messages: Vec::new(),
        refused: false,
    };
    let mut scratch = vec![0; usize::from(plan.scratch).max(1)];
    echo.run(&mut scratch).expect("no step is fatal");

    assert_eq!(echo.refused, expected.refused);
    if framing != Framing::Raw {
        assert_eq!(echo.messages, expected.messages);
    }
    let socket = echo.connection.socket();
    assert_eq!(socket.outgoing, echoed);
    let received = plan.incoming.len() - socket.incoming.len();
    let tally = Tally { received: received as u64, sent: echoed.len() as u64 };
    assert_eq!(echo.connection.tally(), tally);
    assert_eq!(echo.held.as_slice(), &plan.incoming[echoed.len()..received]);
});
