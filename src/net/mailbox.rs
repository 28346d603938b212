//! How threads talk: a queue, and a waker for the thread that reads it.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use super::poll::{Events, Interest, Poll};
use super::sync::{AtomicU8, File, Receiver, Sender, unbounded};
use super::sys;
use super::token::Token;

/// Wakes a thread out of its [`Poll`], if it sleeps there.
///
/// Any number of wake-ups while it sleeps cost one system call together. While it is awake
/// they cost none: it checks for them before it sleeps. The state is an atomic because
/// it is what makes mail cheap.
#[derive(Debug)]
pub(crate) struct Waker {
    eventfd: File,
    state: AtomicU8,
}

/// The thread is running, and nobody woke it since it last acknowledged.
const AWAKE: u8 = 0;
/// Somebody woke it: it must not sleep, or is on its way out of sleep.
const WOKEN: u8 = 1;
/// It sleeps, or is about to: the next wake-up has to write to the eventfd.
const ASLEEP: u8 = 2;

impl Waker {
    pub(crate) fn new() -> io::Result<Waker> {
        Ok(Waker { eventfd: sys::eventfd()?, state: AtomicU8::new(AWAKE) })
    }

    /// Has the thread read its mail: wakes it, or keeps it from going to sleep.
    pub(crate) fn wake(&self) {
        if self.state.swap(WOKEN, SeqCst) == ASLEEP {
            // It fails only after 2^64 wake-ups that nobody acknowledged.
            let _ = (&self.eventfd).write(&1u64.to_ne_bytes());
        }
    }

    /// Acknowledges all wake-ups so far, and returns whether there were any. The queue is
    /// read after this: the other way round, mail that arrives in between would find the
    /// thread still woken, and wait for the next message.
    fn acknowledge(&self) -> bool {
        self.state.swap(AWAKE, SeqCst) == WOKEN
    }

    fn is_woken(&self) -> bool {
        self.state.load(SeqCst) == WOKEN
    }

    /// Announces that the thread is about to sleep. Returns whether it may: not if it was
    /// woken since it last acknowledged.
    fn fall_asleep(&self) -> bool {
        self.state.compare_exchange(AWAKE, ASLEEP, SeqCst, SeqCst).is_ok()
    }
}

/// The sending side of a thread's mail. Any number of threads may have a clone.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    queue: Sender<T>,
    waker: Arc<Waker>,
}

/// The receiving side of a thread's mail, which that thread alone has.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    queue: Receiver<T>,
    waker: Arc<Waker>,
}

/// What one thread waits on: its epoll and its mail.
#[derive(Debug)]
pub(crate) struct EventLoop<T> {
    pub(crate) poll: Poll,
    pub(crate) inbox: Inbox<T>,
}

impl<T> EventLoop<T> {
    /// A new loop, and the mailbox that reaches it.
    pub(crate) fn new() -> io::Result<(EventLoop<T>, Mailbox<T>)> {
        let (sender, receiver) = unbounded();
        let waker = Arc::new(Waker::new()?);
        let inbox = Inbox { queue: receiver, waker: Arc::clone(&waker) };
        let poll = Poll::new()?;
        poll.watch(&inbox.waker.eventfd, Token::WAKE, &mut None, Interest::WAKER)?;
        Ok((EventLoop { poll, inbox }, Mailbox { queue: sender, waker }))
    }

    /// Waits until something is ready, mail is announced, the timeout passes or a signal
    /// arrives. Mail is no event: the inbox is acknowledged after every wait.
    ///
    /// # Errors
    /// As [`Poll::wait`].
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = if self.inbox.waker.fall_asleep() { timeout } else { Some(Duration::ZERO) };
        self.poll.wait(events, timeout)
    }

    /// Returns whether something is ready or mail is announced, without waiting.
    ///
    /// # Errors
    /// As [`Poll::wait`].
    pub(crate) fn look(&self, events: &mut Events) -> io::Result<bool> {
        self.poll.wait(events, Some(Duration::ZERO))?;
        Ok(!events.is_empty() || self.inbox.waker.is_woken())
    }
}

impl<T> Mailbox<T> {
    /// Sends one message. It never blocks. If the thread has ended the message is lost.
    pub(crate) fn send(&self, message: T) {
        if self.queue.send(message).is_ok() {
            self.waker.wake();
        }
    }

    /// The waker alone, to wake the thread without a message.
    pub(crate) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Mailbox<T> {
        Mailbox { queue: self.queue.clone(), waker: Arc::clone(&self.waker) }
    }
}

impl<T> Inbox<T> {
    /// Acknowledges the wake-up and returns how many messages are there now. One that
    /// arrives while they are read wakes the thread again, so that no sender can keep
    /// the reader here.
    pub(crate) fn acknowledge(&self) -> usize {
        if self.waker.acknowledge() { self.queue.len() } else { 0 }
    }

    /// Leaves the rest of the mail for the thread's next turn, before which it does not sleep.
    pub(crate) fn leave_rest(&self) {
        self.waker.wake();
    }

    /// The next message.
    pub(crate) fn take(&self) -> Option<T> {
        self.queue.try_recv().ok()
    }
}

#[cfg(test)]
#[cfg(not(loom))] // The models in tests/loom/ include this file.
mod tests {
    use super::*;

    /// An event loop, its mailbox, and what it needs to wait.
    fn event_loop() -> (EventLoop<usize>, Mailbox<usize>, Events) {
        let (event_loop, mailbox) = EventLoop::new().expect("an event loop");
        (event_loop, mailbox, Events::with_capacity(8))
    }

    #[test]
    fn many_messages_are_one_wake_up() {
        let (event_loop, mailbox, mut events) = event_loop();
        assert!(event_loop.inbox.waker.fall_asleep());
        (0..1000).for_each(|message| mailbox.send(message));
        event_loop.poll.wait(&mut events, None).expect("a wait");
        assert_eq!(events.len(), 1);
        assert_eq!(event_loop.inbox.acknowledge(), 1000);
        (0..1000).for_each(|message| assert_eq!(event_loop.inbox.take(), Some(message)));
        event_loop.wait(&mut events, Some(Duration::ZERO)).expect("a wait");
        assert!(events.is_empty());
    }

    #[test]
    fn a_thread_that_is_awake_is_not_woken_and_does_not_sleep_over_a_message() {
        let (event_loop, mailbox, mut events) = event_loop();
        mailbox.send(1);
        assert!(event_loop.look(&mut events).expect("a look"));
        event_loop.wait(&mut events, None).expect("a wait");
        assert!(events.is_empty(), "nobody had to write to the eventfd");
        assert_eq!((event_loop.inbox.acknowledge(), event_loop.inbox.take()), (1, Some(1)));
        assert!(!event_loop.look(&mut events).expect("a look"));
    }

    #[test]
    fn no_message_is_left_behind_with_two_senders() {
        const MESSAGES: usize = 100_000;
        let (event_loop, mailbox, mut events) = event_loop();
        let send = |mailbox: Mailbox<usize>| {
            move || (0..MESSAGES).for_each(|message| mailbox.send(message))
        };
        let senders =
            [std::thread::spawn(send(mailbox.clone())), std::thread::spawn(send(mailbox))];
        let mut received = 0;
        while received < 2 * MESSAGES {
            event_loop.wait(&mut events, None).expect("a wait");
            let count = event_loop.inbox.acknowledge();
            received += (0..count).map_while(|_| event_loop.inbox.take()).count();
        }
        senders.into_iter().for_each(|sender| sender.join().expect("it sent all"));
        assert_eq!(received, 2 * MESSAGES);
    }
}
