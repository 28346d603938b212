//! A client that says one thing and reads to the end.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};
use reactor_server::{Event, Interest};

use crate::swarm::{Client, Fate, unless_early};

/// One question, and the whole of what is to come before the server's FIN.
pub struct Ask {
    socket: TcpStream,
    question: Vec<u8>,
    answer: Vec<u8>,
    asked: usize,
    heard: usize,
}

impl Ask {
    pub fn new(socket: TcpStream, question: Vec<u8>, answer: Vec<u8>) -> Ask {
        Ask { socket, question, answer, asked: 0, heard: 0 }
    }

    fn hear(&mut self, bytes: &[u8]) -> Result<()> {
        let rest = &self.answer[self.heard..];
        ensure!(rest.starts_with(bytes), "an answer differs, or is too long");
        self.heard += bytes.len();
        Ok(())
    }
}

impl Client for Ask {
    fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn interest(&self) -> Interest {
        if self.asked < self.question.len() { Interest::WRITABLE } else { Interest::READABLE }
    }

    fn ready(&mut self, event: Event, scratch: &mut [u8]) -> Result<Fate> {
        if event.is_writable() && self.asked < self.question.len() {
            let rest = &self.question[self.asked..];
            let sent = unless_early((&self.socket).write(rest)).context("cannot ask")?;
            self.asked += sent.unwrap_or(0);
        } else if let Some(count) =
            unless_early((&self.socket).read(scratch)).context("no answer")?
        {
            self.hear(&scratch[..count])?;
            let whole = self.heard == self.answer.len();
            ensure!(count > 0 || whole, "it was closed before the answer");
            return Ok(if count == 0 { Fate::Ends } else { Fate::Stays });
        }
        Ok(Fate::Stays)
    }
}
