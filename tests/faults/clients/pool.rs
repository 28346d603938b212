//! Many non-blocking clients in one thread.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Result;
use reactor_server::parts::{Event, Events, Interest, Poll, Slab, Token};

/// One of many clients, called when its socket is ready.
pub(crate) trait Client {
    fn socket(&self) -> &TcpStream;

    /// What to wait for, in its present state.
    fn interest(&self) -> Interest;

    /// Reads and writes what it can, and has `scratch` to read into. An error is the
    /// server's, and ends the row.
    fn ready(&mut self, event: Event, scratch: &mut [u8]) -> Result<Next>;
}

/// Whether a client goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Continue,
    Done,
}

/// Clients that take turns.
pub(crate) struct Pool<C> {
    poll: Poll,
    events: Events,
    scratch: Box<[u8]>,
    members: Slab<Member<C>>,
}

struct Member<C> {
    client: C,
    watched: Option<Interest>,
}

impl<C: Client> Pool<C> {
    pub(crate) fn new() -> Result<Pool<C>> {
        Ok(Pool {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            scratch: vec![0; 256 << 10].into(),
            members: Slab::default(),
        })
    }

    pub(crate) fn add(&mut self, client: C) -> Result<()> {
        client.socket().set_nonblocking(true)?;
        let token = self.members.insert(Member { client, watched: None });
        self.visit(token, |_, _| Ok(Next::Continue)).map(drop)
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Waits until some are ready, no longer than `patience`, and calls them. Returns
    /// those that are done.
    pub(crate) fn turn(&mut self, patience: Duration) -> Result<Vec<C>> {
        let mut done = Vec::new();
        self.poll.wait(&mut self.events, Some(patience))?;
        for event in self.events.iter().collect::<Vec<_>>() {
            let visited = self.visit(event.token(), |client, scratch| client.ready(event, scratch));
            done.extend(visited?);
        }
        Ok(done)
    }

    /// Calls `act` with each client. Returns those that are done.
    pub(crate) fn each(&mut self, mut act: impl FnMut(&mut C) -> Result<Next>) -> Result<Vec<C>> {
        let mut done = Vec::new();
        for token in self.members.tokens().collect::<Vec<_>>() {
            done.extend(self.visit(token, |client, _| act(client))?);
        }
        Ok(done)
    }

    /// Calls `act` with each client, and has each wait for what it then needs.
    pub(crate) fn for_each(&mut self, mut act: impl FnMut(&mut C)) -> Result<()> {
        self.each(|client| {
            act(client);
            Ok(Next::Continue)
        })
        .map(drop)
    }

    /// Calls `act` with a client, which is removed if it is done.
    fn visit(
        &mut self,
        token: Token,
        act: impl FnOnce(&mut C, &mut [u8]) -> Result<Next>,
    ) -> Result<Option<C>> {
        let Some(Member { client, watched }) = self.members.get_mut(token) else {
            return Ok(None);
        };
        if act(client, &mut self.scratch)? == Next::Done {
            return Ok(self.members.remove(token).map(|member| member.client));
        }
        self.poll.watch(client.socket(), token, watched, client.interest())?;
        Ok(None)
    }
}

/// What a non-blocking call returned, or `None` if it would block.
pub(crate) fn unless_blocked<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        result => result.map(Some),
    }
}
