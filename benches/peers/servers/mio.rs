//! mio: an event loop per thread. A single thread has the listener too; of several, none has.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use peers::{Arguments, BUFFER};

const MAIL: Token = Token(usize::MAX);
const LISTENER: Token = Token(usize::MAX - 1);

struct Connection {
    stream: TcpStream,
    /// What the kernel would not take yet.
    unsent: Vec<u8>,
}

impl Connection {
    /// Goes on until the socket would block, as mio is edge-triggered. Returns `false` once the
    /// connection has ended.
    fn advance(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        loop {
            while !self.unsent.is_empty() {
                let count = self.stream.write(&self.unsent)?;
                self.unsent.drain(..count);
            }
            let count = self.stream.read(buffer)?;
            if count == 0 {
                return Ok(false);
            }
            self.echo(&buffer[..count])?;
        }
    }

    fn echo(&mut self, bytes: &[u8]) -> io::Result<()> {
        let count = match self.stream.write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            result => result?,
        };
        self.unsent.extend_from_slice(&bytes[count..]);
        Ok(())
    }
}

/// A thread's events. The listener is among them if there is only one thread.
struct Loop {
    poll: Poll,
    inbox: Receiver<TcpStream>,
    listener: Option<TcpListener>,
    connections: HashMap<Token, Connection>,
    next: usize,
    buffer: Vec<u8>,
}

/// How another thread hands connections to a loop.
struct Mailbox(Sender<TcpStream>, Waker);

impl Loop {
    fn new(mut listener: Option<TcpListener>) -> io::Result<(Loop, Mailbox)> {
        let poll = Poll::new()?;
        if let Some(listener) = &mut listener {
            poll.registry().register(listener, LISTENER, Interest::READABLE)?;
        }
        let waker = Waker::new(poll.registry(), MAIL)?;
        let (sender, inbox) = channel();
        let (connections, buffer) = (HashMap::new(), vec![0; BUFFER]);
        let this = Loop { poll, inbox, listener, connections, next: 0, buffer };
        Ok((this, Mailbox(sender, waker)))
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Some(listener) = &self.listener {
            match listener.accept() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                result => self.adopt(result?.0)?,
            }
        }
        Ok(())
    }

    fn read_mail(&mut self) -> io::Result<()> {
        while let Ok(stream) = self.inbox.try_recv() {
            self.adopt(stream)?;
        }
        Ok(())
    }

    fn adopt(&mut self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let token = Token(self.next);
        self.next += 1;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, token, both)?;
        self.connections.insert(token, Connection { stream, unsent: Vec::new() });
        Ok(())
    }

    fn serve(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let is_open = match connection.advance(&mut self.buffer) {
            Err(error) => error.kind() == ErrorKind::WouldBlock,
            Ok(is_open) => is_open,
        };
        if !is_open {
            self.connections.remove(&token);
        }
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            self.poll.poll(&mut events, None)?;
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    MAIL => self.read_mail()?,
                    token => self.serve(token),
                }
            }
        }
    }
}

/// Starts the threads, and deals to them in turn.
fn deal(listener: &std::net::TcpListener, threads: usize) -> io::Result<()> {
    let mut mailboxes = Vec::new();
    for _ in 0..threads {
        let (events, mailbox) = Loop::new(None)?;
        thread::Builder::new().spawn(move || events.run())?;
        mailboxes.push(mailbox);
    }
    for Mailbox(letters, waker) in mailboxes.iter().cycle() {
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        letters.send(TcpStream::from_std(stream)).map_err(io::Error::other)?;
        waker.wake()?;
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let arguments = Arguments::from_command_line();
    let listener = arguments.listen()?;
    if arguments.threads > 1 {
        return deal(&listener, arguments.threads);
    }
    listener.set_nonblocking(true)?;
    // Its mailbox stays, though no thread writes to it.
    let (events, _mailbox) = Loop::new(Some(TcpListener::from_std(listener)))?;
    events.run()
}
