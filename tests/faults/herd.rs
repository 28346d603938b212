//! Many non-blocking clients in one thread.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Result;
use reactor_server::{Event, Events, Interest, Poll, Slab, Token};

/// Clients, each with what its row has to know of it.
pub struct Herd<T> {
    poll: Poll,
    events: Events,
    members: Slab<Member<T>>,
}

pub struct Member<T> {
    pub stream: TcpStream,
    pub state: T,
    watched: Option<Interest>,
}

impl<T> Herd<T> {
    pub fn new() -> Result<Herd<T>> {
        let (events, members) = (Events::with_capacity(1024), Slab::default());
        Ok(Herd { poll: Poll::new()?, events, members })
    }

    pub fn join(&mut self, stream: TcpStream, state: T, interest: Interest) -> Result<Token> {
        stream.set_nonblocking(true)?;
        let token = self.members.insert(Member { stream, state, watched: None });
        let member = self.members.get_mut(token).expect("it was just taken in");
        self.poll.watch(&member.stream, token, &mut member.watched, interest)?;
        Ok(token)
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn member(&mut self, token: Token) -> Option<&mut Member<T>> {
        self.members.get_mut(token)
    }

    /// Does something with all, whether they are ready or not. What comes of it is
    /// what to wait for next.
    pub fn for_each(
        &mut self,
        mut act: impl FnMut(&mut Member<T>) -> Result<Interest>,
    ) -> Result<()> {
        for token in self.members.tokens().collect::<Vec<_>>() {
            let Some(member) = self.members.get_mut(token) else { continue };
            let next = act(member)?;
            self.poll.watch(&member.stream, token, &mut member.watched, next)?;
        }
        Ok(())
    }

    /// Waits until some are ready, and visits them. What comes of a visit is what to
    /// wait for next; nothing closes the connection.
    pub fn visit(
        &mut self,
        timeout: Duration,
        mut act: impl FnMut(&mut Member<T>, Event) -> Result<Option<Interest>>,
    ) -> Result<()> {
        self.poll.wait(&mut self.events, Some(timeout))?;
        for event in self.events.iter() {
            let token = event.token();
            let Some(member) = self.members.get_mut(token) else { continue };
            match act(member, event)? {
                Some(next) => {
                    self.poll.watch(&member.stream, token, &mut member.watched, next)?;
                }
                None => drop(self.members.remove(token)),
            }
        }
        Ok(())
    }
}

impl<T> Member<T> {
    /// Writes once; nothing was written where the kernel is full.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        or_none(self.stream.write(bytes)).map(Option::unwrap_or_default)
    }

    /// Reads once; `None` means that nothing has come yet, 0 the end.
    pub fn read(&mut self, bytes: &mut [u8]) -> io::Result<Option<usize>> {
        or_none(self.stream.read(bytes))
    }
}

fn or_none(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        result => result.map(Some),
    }
}
