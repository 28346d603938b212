//! Checks that a server echoes every byte: one that does not is not measured.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::contender::Contender;
use crate::load::{self, Amount};
use crate::server::Server;
use crate::shape::{Shape, Work};
use crate::trouble::{Result, Trouble, failed};

/// More than the kernel keeps for a peer that does not read, so that the server's writes are
/// cut short.
const FLOOD: usize = 24 << 20;
/// How long the peer does not read.
const PAUSE: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(10);
/// The client's receive buffer, in bytes.
const WINDOW: usize = 64 * 1024;

/// Checks a server with one thread and with several.
pub(crate) fn check(contender: &Contender) -> Result<()> {
    for threads in [1, 3] {
        let shape = Shape {
            name: "check".to_owned(),
            group: "check",
            title: String::new(),
            threads,
            is_pinned: false,
            is_quick: true,
            work: Work::Client("--connections 8 --size 256k --pipeline 4"),
        };
        let mut server = Server::start(contender, &shape)?;
        load::run(&mut server, contender, &shape, Amount::Messages(10))?;
        if !contender.is_framed() {
            flood(server.address()).map_err(|error| {
                Trouble::Failed(format!("{error}, at a half-close after {FLOOD} bytes"))
            })?;
        }
        if let Some(death) = server.death() {
            return failed(death);
        }
    }
    Ok(())
}

/// The byte at an offset of the stream: it depends on the offset, so that a shift shows.
fn byte(at: usize) -> u8 {
    (at ^ (at >> 8) ^ (at >> 16)) as u8
}

/// Sends much, half-closes, reads late, and must receive all of it.
fn flood(server: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(WINDOW)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.connect(&server.into())?;
    let stream = TcpStream::from(socket);
    let mut sender = stream.try_clone()?;
    let sent: Vec<u8> = (0..FLOOD).map(byte).collect();
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            sender.write_all(&sent)?;
            sender.shutdown(Shutdown::Write)
        });
        thread::sleep(PAUSE);
        let received = receive(&stream, &sent);
        // Ends the sender, which would otherwise wait for a server that does not read.
        let _ = stream.shutdown(Shutdown::Both);
        let sending = sending.join().expect("no panic");
        received.and(sending)
    })
}

fn receive(mut stream: &TcpStream, sent: &[u8]) -> io::Result<()> {
    let mut received = Vec::with_capacity(sent.len());
    stream.read_to_end(&mut received)?;
    match (received.len() == sent.len(), received == sent) {
        (true, true) => Ok(()),
        (true, false) => Err(io::Error::other("wrong bytes")),
        _ => Err(io::Error::other(format!("{} bytes came back", received.len()))),
    }
}
