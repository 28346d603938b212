//! How threads talk: a queue, and a bell that wakes its reader.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crate::poll::{Events, Interest, Poll};
use crate::sync::{AtomicU8, File, Receiver, Sender, unbounded};
use crate::sys;
use crate::token::Token;

/// Wakes the thread that waits for it in its [`Poll`], if it sleeps there.
///
/// Rings are one wake-up and one system call however many there are, and none at all
/// while the thread is awake: it looks at its bell before it sleeps. The state is an
/// atomic because it is what saves the mail.
#[derive(Debug)]
pub(crate) struct Bell {
    eventfd: File,
    state: AtomicU8,
}

/// Its thread is about, and nobody has rung since it last answered.
const AWAKE: u8 = 0;
/// Somebody has rung. The thread must not sleep, or is being woken already.
const RUNG: u8 = 1;
/// Whoever rings first has to wake the thread.
const ASLEEP: u8 = 2;

impl Bell {
    pub(crate) fn new() -> io::Result<Bell> {
        Ok(Bell { eventfd: sys::eventfd()?, state: AtomicU8::new(AWAKE) })
    }

    /// Has the thread look at its mail: wakes it, or keeps it from going to sleep.
    pub(crate) fn ring(&self) {
        if self.state.swap(RUNG, SeqCst) == ASLEEP {
            // It fails only with 2^64 rings that no one answered.
            let _ = (&self.eventfd).write(&1u64.to_ne_bytes());
        }
    }

    /// Answers all rings so far, and says whether there were any. What they announced
    /// is looked at after this: the other way round, mail that arrives in between
    /// would find the bell still rung and wait for the next letter.
    fn answer(&self) -> bool {
        self.state.swap(AWAKE, SeqCst) == RUNG
    }

    fn has_rung(&self) -> bool {
        self.state.load(SeqCst) == RUNG
    }

    /// From now on whoever rings wakes the thread, unless somebody has already rung.
    fn falls_asleep(&self) -> bool {
        self.state.compare_exchange(AWAKE, ASLEEP, SeqCst, SeqCst).is_ok()
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

impl<T> Desk<T> {
    /// Waits until something is ready or the bell rings, until the timeout has passed
    /// or a signal came. That the bell has rung is no event: it is to be answered
    /// after every wait.
    ///
    /// # Errors
    /// As [`Poll::wait`].
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = if self.inbox.bell.falls_asleep() { timeout } else { Some(Duration::ZERO) };
        self.poll.wait(events, timeout)
    }

    /// Looks whether something is ready or the bell has rung, and stays awake.
    ///
    /// # Errors
    /// As [`Poll::wait`].
    pub(crate) fn look(&self, events: &mut Events) -> io::Result<bool> {
        self.poll.wait(events, Some(Duration::ZERO))?;
        Ok(!events.is_empty() || self.inbox.bell.has_rung())
    }
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
        if self.bell.answer() { self.letters.len() } else { 0 }
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

    /// A desk, a mailbox of it, and what it needs to wait.
    fn at_a_desk() -> (Desk<usize>, Mailbox<usize>, Events) {
        let (desk, mailbox) = desk().expect("a desk");
        (desk, mailbox, Events::with_capacity(8))
    }

    #[test]
    fn many_letters_are_one_wake_up() {
        let (desk, mailbox, mut events) = at_a_desk();
        assert!(desk.inbox.bell.falls_asleep());
        (0..1000).for_each(|letter| mailbox.send(letter));
        desk.poll.wait(&mut events, None).expect("a wait");
        assert_eq!(events.len(), 1);
        assert_eq!(desk.inbox.answer(), 1000);
        (0..1000).for_each(|letter| assert_eq!(desk.inbox.take(), Some(letter)));
        desk.wait(&mut events, Some(Duration::ZERO)).expect("a wait");
        assert!(events.is_empty());
    }

    #[test]
    fn who_is_awake_is_not_woken_and_does_not_sleep_over_a_letter() {
        let (desk, mailbox, mut events) = at_a_desk();
        mailbox.send(1);
        assert!(desk.look(&mut events).expect("a look"));
        desk.wait(&mut events, None).expect("a wait");
        assert!(events.is_empty(), "nobody had to write to the eventfd");
        assert_eq!((desk.inbox.answer(), desk.inbox.take()), (1, Some(1)));
        assert!(!desk.look(&mut events).expect("a look"));
    }

    #[test]
    fn no_letter_is_left_behind_with_two_senders() {
        const LETTERS: usize = 100_000;
        let (desk, mailbox, mut events) = at_a_desk();
        let send =
            |mailbox: Mailbox<usize>| move || (0..LETTERS).for_each(|letter| mailbox.send(letter));
        let senders =
            [std::thread::spawn(send(mailbox.clone())), std::thread::spawn(send(mailbox))];
        let mut received = 0;
        while received < 2 * LETTERS {
            desk.wait(&mut events, None).expect("a wait");
            received += (0..desk.inbox.answer()).map_while(|_| desk.inbox.take()).count();
        }
        senders.into_iter().for_each(|sender| sender.join().expect("it sent all"));
        assert_eq!(received, 2 * LETTERS);
    }
}
