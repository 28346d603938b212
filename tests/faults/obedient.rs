//! A handler that does what it is told, for faults that only a handler can put.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use reactor_server::{Handler, Reply};

use crate::server::PATIENCE;

/// Does what a message begins with, and else echoes it.
pub struct Obedient {
    /// How many are to meet, so that each must be on a thread of its own.
    parties: usize,
    met: AtomicUsize,
    arrived: Sender<()>,
    open: Receiver<()>,
}

/// The row's side of it.
pub struct Gate {
    /// Who has come to the gate.
    pub arrivals: Receiver<()>,
    /// Lets one through.
    pub key: Sender<()>,
}

/// Panics.
pub const PANIC: &[u8] = b"panic";
/// Comes back once as many of them are here as are to meet.
pub const MEET: &[u8] = b"meet";
/// Comes back when it is let through the gate.
pub const WAIT: &[u8] = b"wait";
/// Is answered with more than all buffers hold.
pub const MUCH: &[u8] = b"much";

impl Obedient {
    pub fn new(parties: usize) -> (Obedient, Gate) {
        let ((arrived, arrivals), (key, open)) = (unbounded(), unbounded());
        (Obedient { parties, met: 0.into(), arrived, open }, Gate { arrivals, key })
    }

    fn meet(&self) {
        let earlier = self.met.fetch_add(1, SeqCst);
        let all = (earlier / self.parties + 1) * self.parties;
        let until = Instant::now() + PATIENCE;
        while self.met.load(SeqCst) < all {
            assert!(Instant::now() < until, "somebody is missing");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Handler for Obedient {
    type Session = ();

    fn opened(&self, _: SocketAddr) {}

    fn message(&self, _: &mut (), message: &[u8], reply: &mut Reply<'_>) {
        if message.starts_with(PANIC) {
            panic!("as it was told to");
        } else if message.starts_with(MEET) {
            self.meet();
        } else if message.starts_with(WAIT) {
            // When the row is over nobody listens or opens any more, and that will do.
            let _ = self.arrived.send(());
            let _ = self.open.recv();
        } else if message.starts_with(MUCH) {
            reply.send(&[&vec![0; 32 << 20]]);
        }
        reply.send(&[message]);
    }
}
