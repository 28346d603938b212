//! What the echo servers have in common: their arguments, their listener, their buffer.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

/// Bytes of a read buffer that all connections of a thread share.
pub const BUFFER: usize = 64 * 1024;

/// Bytes of a read buffer that each connection has. It fits the longest message of any shape
/// and no more, as it costs memory, and time to clear.
pub const BUFFER_EACH: usize = 16 * 1024;

/// Connections that may wait to be accepted, so that a thousand may connect at once.
const BACKLOG: i32 = 4096;

/// The arguments of a server: `IP PORT [THREADS]`.
#[derive(Debug, Clone, Copy)]
pub struct Arguments {
    pub address: SocketAddr,
    pub threads: usize,
}

impl Arguments {
    /// Reads the command line; prints the usage and exits with 2 if it is wrong.
    pub fn from_command_line() -> Arguments {
        Arguments::parse(std::env::args().skip(1)).unwrap_or_else(|| {
            eprintln!("usage: IP PORT [THREADS]");
            std::process::exit(2);
        })
    }

    fn parse(mut words: impl Iterator<Item = String>) -> Option<Arguments> {
        let ip: IpAddr = words.next()?.parse().ok()?;
        let port = words.next()?.parse().ok()?;
        let threads = words.next().map_or(Some(1), |word| word.parse().ok())?;
        let all = words.next().is_none() && threads > 0;
        all.then_some(Arguments { address: SocketAddr::new(ip, port), threads })
    }

    /// A blocking listener.
    pub fn listen(&self) -> io::Result<TcpListener> {
        self.listen_with(|_| Ok(()))
    }

    /// A listener that shares its port with those of other threads; the kernel distributes
    /// connections among them.
    pub fn listen_together(&self) -> io::Result<TcpListener> {
        self.listen_with(|socket| socket.set_reuse_port(true))
    }

    fn listen_with(&self, prepare: impl Fn(&Socket) -> io::Result<()>) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(self.address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        prepare(&socket)?;
        socket.bind(&self.address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    }
}
