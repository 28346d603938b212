//! How threads talk: a queue, and a bell that wakes its reader.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use crate::poll::{Interest, Poll};
use crate::sync::{AtomicBool, File, Receiver, Sender, unbounded};
use crate::sys;
use crate::token::Token;

/// Wakes the thread that waits for it in its [`Poll`].
///
/// Any number of rings before the thread looks are one wake-up and one system
/// call. The flag is an atomic because it is what saves the mail: it says
/// whether a wake-up is already on its way.
#[derive(Debug)]
pub(crate) struct Bell {
    eventfd: File,
    rung: AtomicBool,
}

impl Bell {
    pub(crate) fn new() -> io::Result<Bell> {
        Ok(Bell { eventfd: sys::eventfd()?, rung: AtomicBool::new(false) })
    }

    /// Wakes the thread, unless it is being woken already.
    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, SeqCst) {
            // It fails only with 2^64 rings that no one answered.
            let _ = (&self.eventfd).write(&1u64.to_ne_bytes());
        }
    }

    /// Answers all rings so far. What they announced is looked at after this: the
    /// other way round, mail that arrives in between would find the bell still
    /// rung and wait for the next letter.
    fn answer(&self) {
        self.rung.swap(false, SeqCst);
    }
}

/// The sender's side of a thread's mail: many may have it.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    letters: Sender<T>,
    bell: Arc<Bell>,
}

/// The receiver's side of a thread's mail: the thread alone has it.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    letters: Receiver<T>,
    bell: Arc<Bell>,
}

/// Where a thread waits: its epoll, with its mail among what is watched.
#[derive(Debug)]
pub(crate) struct Desk<T> {
    pub(crate) poll: Poll,
    pub(crate) inbox: Inbox<T>,
}

/// A new desk, and the mailbox whose letters arrive there.
pub(crate) fn desk<T>() -> io::Result<(Desk<T>, Mailbox<T>)> {
    let (sender, receiver) = unbounded();
    let bell = Arc::new(Bell::new()?);
    let inbox = Inbox { letters: receiver, bell: Arc::clone(&bell) };
    let poll = Poll::new()?;
    poll.watch(&inbox.bell.eventfd, Token::WAKE, &mut None, Interest::BELL)?;
    Ok((Desk { poll, inbox }, Mailbox { letters: sender, bell }))
}

impl<T> Mailbox<T> {
    /// Sends a letter. It never blocks; to a thread that has ended it is lost.
    pub(crate) fn send(&self, letter: T) {
        if self.letters.send(letter).is_ok() {
            self.bell.ring();
        }
    }

    /// The bell alone, for those who wake the thread without a letter.
    pub(crate) fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Mailbox<T> {
        Mailbox { letters: self.letters.clone(), bell: Arc::clone(&self.bell) }
    }
}

impl<T> Inbox<T> {
    /// Answers the bell and says how many letters are there now. What comes while
    /// they are read rings again, so that no sender can keep the reader here.
    pub(crate) fn answer(&self) -> usize {
        self.bell.answer();
        self.letters.len()
    }

    /// The next letter.
    pub(crate) fn take(&self) -> Option<T> {
        self.letters.try_recv().ok()
    }
}

#[cfg(test)]
#[cfg(not(loom))] // The models in tests/loom/ include this file.
mod tests {
    use super::*;
    use crate::poll::Events;
    use std::time::Duration;

    #[test]
    fn many_letters_are_one_wake_up() {
        let (Desk { poll, inbox }, mailbox) = desk().expect("a desk");
        let mut events = Events::with_capacity(8);
        (0..1000).for_each(|letter| mailbox.send(letter));
        poll.wait(&mut events, None).expect("a wait");
        assert_eq!(events.len(), 1);
        assert_eq!(inbox.answer(), 1000);
        (0..1000).for_each(|letter| assert_eq!(inbox.take(), Some(letter)));
        poll.wait(&mut events, Some(Duration::ZERO)).expect("a wait");
        assert!(events.is_empty());
    }

    #[test]
    fn no_letter_is_left_behind_with_two_senders() {
        const LETTERS: usize = 100_000;
        let (Desk { poll, inbox }, mailbox) = desk().expect("a desk");
        let mut events = Events::with_capacity(8);
        let send =
            |mailbox: Mailbox<usize>| move || (0..LETTERS).for_each(|letter| mailbox.send(letter));
        let senders =
            [std::thread::spawn(send(mailbox.clone())), std::thread::spawn(send(mailbox))];
        let mut received = 0;
        while received < 2 * LETTERS {
            poll.wait(&mut events, None).expect("a wait");
            received += (0..inbox.answer()).map_while(|_| inbox.take()).count();
        }
        senders.into_iter().for_each(|sender| sender.join().expect("it sent all"));
        assert_eq!(received, 2 * LETTERS);
    }
}
