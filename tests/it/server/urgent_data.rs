//! Bytes that a peer sends as urgent (`MSG_OOB`) belong to the stream like all others.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use reactor_server::{Config, ConnectionId, Ending, Framing, Handler, Reply};
use socket2::SockRef;

use super::drain::{UNSHARED, wait_until_acknowledged};
use crate::support::running::{Running, config};
use crate::support::streams::{noise, read_to_end};

/// Sends the bytes, those at these places as urgent ones.
fn send(mut stream: &TcpStream, bytes: &[u8], urgent: &[usize]) {
    let mut from = 0;
    for &place in urgent {
        stream.write_all(&bytes[from..place]).expect("sent");
        SockRef::from(stream).send_out_of_band(&bytes[place..=place]).expect("sent");
        from = place + 1;
    }
    stream.write_all(&bytes[from..]).expect("sent");
}

const LENGTH: usize = 150_000;
/// At the start, in the middle, as the last byte; alone, in a row and far apart.
const PLACES: [&[usize]; 6] =
    [&[0], &[LENGTH / 2], &[LENGTH - 1], &[0, 1, 2], &[70_000, 140_000], &[5, 9, LENGTH - 1]];

#[test]
fn urgent_bytes_come_back_in_their_places() {
    let mut line = noise(LENGTH);
    line.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
    line[LENGTH - 1] = b'\n';
    for (framing, workers) in [(Framing::Raw, 0), (Framing::Raw, 2), (Framing::line(), 0)] {
        let server = Running::echo(Config { workers, ..config(framing) });
        for urgent in PLACES {
            let mut stream = server.connect();
            let writer = stream.try_clone().expect("a second handle");
            let bytes = line.clone();
            let sender = thread::spawn(move || {
                send(&writer, &bytes, urgent);
                writer.shutdown(Shutdown::Write).expect("a half-close");
            });
            assert!(read_to_end(&mut stream) == line, "{urgent:?}, {workers} workers");
            sender.join().expect("it sent all");
        }
    }
}

/// Echoes. Its first message holds the reactor until the door is opened.
struct Held {
    arrived: Sender<()>,
    door: Receiver<()>,
}

impl Handler for Held {
    type Session = ();

    fn opened(&self, _: ConnectionId, _: SocketAddr, _: &mut Reply<'_>) {}

    fn message(&self, _: &mut (), _: &[u8], reply: &mut Reply<'_>) {
        if self.arrived.try_send(()).is_ok() {
            let _ = self.door.recv();
        }
        reply.echo();
    }
}

#[test]
fn draining_answers_urgent_bytes_and_all_behind_them() {
    let bytes = noise(40_000);
    for half_closes in [false, true] {
        let ((arrived, arrival), (key, door)) = (bounded(1), bounded::<()>(0));
        let config = Config { address: UNSHARED, io_threads: 1, ..config(Framing::Raw) };
        let mut server = Running::start(config, Held { arrived, door });
        let mut holder = server.connect();
        holder.write_all(b"hold").expect("sent");
        server.wait_until("the reactor is held", |_| arrival.is_full());
        let last = bytes.len() - 1;
        let urgent: [&[usize]; 5] = [&[0], &[1_000], &[last], &[0, 1, 20_000, last], &[7, 8, 9]];
        let mut streams: Vec<_> = urgent.iter().map(|_| server.connect()).collect();
        for (stream, urgent) in streams.iter().zip(urgent) {
            send(stream, &bytes, urgent);
            if half_closes {
                stream.shutdown(Shutdown::Write).expect("a half-close");
            }
        }
        wait_until_acknowledged(&server);
        server.handle.drain();
        server.wait_until("it drains", |_| TcpStream::connect(server.address).is_err());
        drop(key);
        assert_eq!(read_to_end(&mut holder), b"hold");
        for (stream, urgent) in streams.iter_mut().zip(urgent) {
            let back = read_to_end(stream);
            assert!(back == bytes, "{} of {} came back, {urgent:?}", back.len(), bytes.len());
        }
        drop((holder, streams));
        assert_eq!(server.ending(), Ending::Drained);
    }
}
