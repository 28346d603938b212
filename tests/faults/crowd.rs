//! Many clients in one thread, each with a stream of its own to send and to get back.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reactor_server::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use crate::client;
use crate::server::PATIENCE;

/// How the clients of a crowd talk.
#[derive(Clone, Copy)]
pub struct Manner {
    /// Bytes that are sent at once, each time without delay.
    pub chunk: usize,
    /// Bytes that may be on their way, there and back.
    pub window: u64,
    /// The size to ask for of both socket buffers.
    pub buffers: Option<usize>,
}

/// Clients that send and read whenever they can, and check what comes.
pub struct Crowd {
    poll: Poll,
    events: Events,
    talks: Vec<Talk>,
    scratch: Vec<u8>,
}

/// One client of the crowd.
struct Talk {
    /// Until the server has finished too.
    stream: Option<TcpStream>,
    watched: Option<Interest>,
    manner: Manner,
    key: u64,
    sent: u64,
    received: u64,
    /// How much it will send before it finishes.
    goal: u64,
    finished: bool,
    /// Whether it leaves unread what comes.
    deaf: bool,
}

/// As long as this nothing has to move for a crowd to be at rest.
const REST: Duration = Duration::from_millis(20);

/// What one that does not read sends at most, to a server that never has it wait.
const MOST: u64 = 1 << 20;
/// EINPROGRESS.
const IN_PROGRESS: i32 = rustix::io::Errno::INPROGRESS.raw_os_error();

impl Default for Manner {
    fn default() -> Manner {
        Manner { chunk: 16 << 10, window: 64 << 10, buffers: None }
    }
}

impl Crowd {
    /// So many clients, whose streams have no end yet. Each comes when the last one is
    /// served: a server may not have room for all of them to wait.
    pub fn connect(address: SocketAddr, count: usize, manner: Manner) -> Result<Crowd> {
        let (poll, events) = (Poll::new()?, Events::with_capacity(256));
        let mut crowd = Crowd { poll, events, talks: Vec::new(), scratch: vec![0; 64 << 10] };
        for last in 0..count {
            crowd.join(address, manner)?;
            crowd.run_until("the last one is served", |crowd| crowd.talks[last].received > 0)?;
        }
        Ok(crowd)
    }

    fn join(&mut self, address: SocketAddr, manner: Manner) -> Result<()> {
        let key = self.talks.len() as u64;
        self.talks.push(Talk::connect(address, key, manner)?);
        Ok(())
    }

    /// Lets them talk once they are able to, and says how many bytes were moved.
    pub fn turn(&mut self, patience: Duration) -> Result<u64> {
        for (slot, talk) in self.talks.iter_mut().enumerate() {
            talk.watch(&self.poll, Token::new(1, slot as u32))?;
        }
        self.poll.wait(&mut self.events, Some(patience))?;
        let mut moved = 0;
        for event in self.events.iter() {
            let talk = &mut self.talks[event.token().slot() as usize];
            moved += talk.visit(&mut self.scratch).with_context(|| talk.title())?;
        }
        Ok(moved)
    }

    /// Lets them talk until a fact, as long as something moves.
    pub fn run_until(&mut self, what: &str, mut fact: impl FnMut(&Crowd) -> bool) -> Result<()> {
        let mut moved = Instant::now();
        while !fact(self) {
            if self.turn(Duration::from_millis(10))? > 0 {
                moved = Instant::now();
            }
            ensure!(moved.elapsed() < PATIENCE, "no byte for {PATIENCE:?} while waiting: {what}");
        }
        Ok(())
    }

    /// Lets them talk until nothing moves any more, because the server does not.
    pub fn come_to_rest(&mut self) -> Result<()> {
        let began = Instant::now();
        while self.turn(REST)? > 0 {
            ensure!(began.elapsed() < PATIENCE, "there is no end of bytes");
        }
        Ok(())
    }

    /// Lets them talk until so many more bytes have come back.
    pub fn receive(&mut self, bytes: u64) -> Result<()> {
        let goal = self.received() + bytes;
        self.run_until("more bytes", |crowd| crowd.received() >= goal)
    }

    /// Some of them do not read from now on, and therefore soon cannot send either.
    pub fn stop_reading(&mut self, which: Range<usize>) {
        self.talks[which].iter_mut().for_each(|talk| talk.deaf = true);
    }

    pub fn read_again(&mut self, which: Range<usize>) {
        self.talks[which].iter_mut().for_each(|talk| talk.deaf = false);
    }

    /// How many bytes came back so far.
    pub fn received(&self) -> u64 {
        self.talks.iter().map(|talk| talk.received).sum()
    }

    /// How many bytes are on their way.
    pub fn under_way(&self) -> u64 {
        self.talks.iter().map(|talk| talk.sent - talk.received).sum()
    }

    /// Has each send so much in all, get all of it back, and only then finish, so that
    /// a server is not judged by how it takes a half-close. Says how many bytes that were.
    pub fn finish_after(mut self, bytes: u64) -> Result<u64> {
        for talk in &mut self.talks {
            talk.goal = bytes.max(talk.sent);
            talk.deaf = false;
        }
        self.run_until("the rest and a FIN", |crowd| {
            crowd.talks.iter().all(|talk| talk.stream.is_none())
        })?;
        Ok(self.received())
    }
}

impl Talk {
    fn connect(address: SocketAddr, key: u64, manner: Manner) -> Result<Talk> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if let Some(bytes) = manner.buffers {
            socket.set_recv_buffer_size(bytes)?;
            socket.set_send_buffer_size(bytes)?;
            // Or the kernel would wait for more room than there ever is.
            socket.set_tcp_mss((bytes as u32 / 8).clamp(500, 1400))?;
        }
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        // It goes on by itself: until it is done there is nothing to read or write.
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(IN_PROGRESS) => Err(error)?,
            _ => {}
        }
        let stream = Some(socket.into());
        let (sent, received, finished, deaf, watched) = Default::default();
        Ok(Talk { stream, watched, manner, key, sent, received, goal: u64::MAX, finished, deaf })
    }

    fn title(&self) -> String {
        format!("after {} bytes sent and {} received", self.sent, self.received)
    }

    fn watch(&mut self, poll: &Poll, token: Token) -> Result<()> {
        let interest = match (self.deaf, self.may_send() > 0 || self.must_finish()) {
            (true, true) => Interest::WRITABLE,
            (true, false) => Interest::NONE,
            (false, true) => Interest::READABLE | Interest::WRITABLE,
            (false, false) => Interest::READABLE,
        };
        match &self.stream {
            Some(stream) => Ok(poll.watch(stream, token, &mut self.watched, interest)?),
            None => Ok(()),
        }
    }

    fn may_send(&self) -> usize {
        let window = if self.deaf { MOST } else { self.manner.window };
        let window = window.saturating_sub(self.sent - self.received);
        self.manner.chunk.min(window.min(self.goal - self.sent) as usize)
    }

    fn must_finish(&self) -> bool {
        self.received == self.goal && !self.finished
    }

    /// Sends before it reads, so that its window is full whenever it can be.
    fn visit(&mut self, scratch: &mut [u8]) -> Result<u64> {
        let sent = self.send(scratch)?;
        Ok(if self.deaf { sent } else { sent + self.read(scratch)? })
    }

    fn send(&mut self, scratch: &mut [u8]) -> Result<u64> {
        let bytes = &mut scratch[..self.may_send()];
        let Some(mut stream) = self.stream.as_ref() else { return Ok(0) };
        if self.must_finish() {
            stream.shutdown(Shutdown::Write).context("cannot half-close")?;
            self.finished = true;
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        client::fill(self.key, self.sent, bytes);
        let count = unless_not_yet(stream.write(bytes)).context("cannot send")?.unwrap_or(0);
        self.sent += count as u64;
        Ok(count as u64)
    }

    fn read(&mut self, scratch: &mut [u8]) -> Result<u64> {
        let Some(mut stream) = self.stream.as_ref() else { return Ok(0) };
        let Some(count) = unless_not_yet(stream.read(scratch)).context("cannot read")? else {
            return Ok(0);
        };
        if count == 0 {
            ensure!(self.finished && self.received == self.goal, "the server's FIN came early");
            self.stream = None;
        }
        client::check(self.key, self.received, &scratch[..count])?;
        self.received += count as u64;
        Ok(count as u64)
    }
}

fn unless_not_yet(result: std::io::Result<usize>) -> std::io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
