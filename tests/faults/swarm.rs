//! Many clients in one thread.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Result;
use reactor_server::{Event, Events, Interest, Poll, Slab, Token};

/// One of many clients: non-blocking, and called when it can go on.
pub trait Client {
    fn socket(&self) -> &TcpStream;

    /// What to wait for, in the state that it is in.
    fn interest(&self) -> Interest;

    /// Reads and writes what it can, and has `scratch` to read into. An error is the
    /// server's, and ends the row.
    fn ready(&mut self, event: Event, scratch: &mut [u8]) -> Result<Fate>;
}

/// Whether a client goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Stays,
    Ends,
}

/// Clients that take turns.
pub struct Swarm<C> {
    poll: Poll,
    events: Events,
    scratch: Box<[u8]>,
    seats: Slab<Seat<C>>,
}

struct Seat<C> {
    client: C,
    watched: Option<Interest>,
}

impl<C: Client> Swarm<C> {
    pub fn new() -> Result<Swarm<C>> {
        Ok(Swarm {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            scratch: vec![0; 64 * 1024].into(),
            seats: Slab::default(),
        })
    }

    pub fn add(&mut self, client: C) -> Result<()> {
        let token = self.seats.insert(Seat { client, watched: None });
        self.visit(token, |_, _| Ok(Fate::Stays)).map(drop)
    }

    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// Waits until some can go on, but not for long, and has them do so. Gives back
    /// those who have come to their end.
    pub fn turn(&mut self, patience: Duration) -> Result<Vec<C>> {
        let mut ended = Vec::new();
        self.poll.wait(&mut self.events, Some(patience))?;
        for event in self.events.iter().collect::<Vec<_>>() {
            let visited = self.visit(event.token(), |client, scratch| client.ready(event, scratch));
            ended.extend(visited?);
        }
        Ok(ended)
    }

    /// Does something with each. Gives back those who have come to their end.
    pub fn each(&mut self, mut act: impl FnMut(&mut C) -> Result<Fate>) -> Result<Vec<C>> {
        let mut ended = Vec::new();
        for token in self.seats.tokens().collect::<Vec<_>>() {
            ended.extend(self.visit(token, |client, _| act(client))?);
        }
        Ok(ended)
    }

    /// Does something with one, which waits for something else from then on, or ends.
    fn visit(
        &mut self,
        token: Token,
        act: impl FnOnce(&mut C, &mut [u8]) -> Result<Fate>,
    ) -> Result<Option<C>> {
        let Some(Seat { client, watched }) = self.seats.get_mut(token) else {
            return Ok(None);
        };
        if act(client, &mut self.scratch)? == Fate::Ends {
            return Ok(self.seats.remove(token).map(|seat| seat.client));
        }
        self.poll.watch(client.socket(), token, watched, client.interest())?;
        Ok(None)
    }
}

/// What a call without waiting came to, if it came to something.
pub fn unless_early<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
