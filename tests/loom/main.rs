//! All interleavings of two senders and the reader of their mail: `scripts/loom.sh`.
//!
//! What runs here is src/net/mailbox.rs itself. What it stands on is in `stand_in.rs`:
//! there, every step is one at which loom lets any other thread go first.
#![cfg(loom)]

#[path = "../../src/net/mailbox.rs"]
mod mailbox;
mod stand_in;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use loom::thread::{self, JoinHandle};

use mailbox::{EventLoop, Mailbox};
use poll::Events;
use stand_in::{poll, sync, sys, token};

/// Runs the model in all interleavings and prints how many there are.
fn explore(name: &str, model: impl Fn() + Send + Sync + 'static) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    loom::model(move || {
        counter.fetch_add(1, SeqCst);
        model();
    });
    println!("{} interleavings: {name}", count.load(SeqCst));
}

/// Sends its messages from a thread of its own, which is gone after that.
fn send<T: 'static>(
    mailbox: Mailbox<T>,
    messages: impl IntoIterator<Item = T> + 'static,
) -> JoinHandle<()> {
    thread::spawn(move || messages.into_iter().for_each(|message| mailbox.send(message)))
}

/// Waits once as a reactor does, and reads the messages that arrived.
fn wait_and_read<T>(event_loop: &EventLoop<T>) -> impl Iterator<Item = T> {
    event_loop.wait(&mut Events, None).expect("a wait");
    (0..event_loop.inbox.acknowledge()).map_while(|_| event_loop.inbox.take())
}

fn join(senders: [JoinHandle<()>; 2]) {
    senders.into_iter().for_each(|sender| sender.join().expect("it sent all"));
}

#[test]
fn no_wake_up_is_lost_and_no_message_left_behind() {
    explore("two senders of a message each", || {
        let (event_loop, mailbox) = EventLoop::new().expect("a event_loop");
        let senders = [send(mailbox.clone(), ["a"]), send(mailbox, ["b"])];
        let mut received = Vec::new();
        while received.len() < 2 {
            received.extend(wait_and_read(&event_loop));
        }
        join(senders);
        received.sort();
        assert_eq!(received, ["a", "b"]);
        assert_eq!((event_loop.inbox.acknowledge(), event_loop.inbox.take()), (0, None));
    });
}

#[test]
fn messages_of_one_sender_arrive_in_order() {
    explore("one sender of three messages", || {
        let (event_loop, mailbox) = EventLoop::new().expect("a event_loop");
        let sender = send(mailbox, [1, 2, 3]);
        let mut received = Vec::new();
        while received.len() < 3 {
            received.extend(wait_and_read(&event_loop));
        }
        sender.join().expect("it sent all");
        assert_eq!(received, [1, 2, 3]);
        assert!(event_loop.poll.writes() <= 3);
        assert_eq!((event_loop.inbox.acknowledge(), event_loop.inbox.take()), (0, None));
    });
}

#[test]
fn messages_before_the_reader_sleeps_cause_no_wake_up() {
    explore("two senders before the reader looks", || {
        let (event_loop, mailbox) = EventLoop::new().expect("a event_loop");
        join([send(mailbox.clone(), [1, 2]), send(mailbox, [3, 4])]);
        assert_eq!(wait_and_read(&event_loop).count(), 4);
        assert_eq!(event_loop.poll.writes(), 0);
    });
}

#[test]
fn many_messages_to_a_sleeping_reader_are_one_wake_up() {
    explore("two senders to a sleeping reader", || {
        let (event_loop, mailbox) = EventLoop::new().expect("a event_loop");
        // It has waited without result, and has not acknowledged yet.
        event_loop.wait(&mut Events, Some(Duration::ZERO)).expect("a wait");
        join([send(mailbox.clone(), [1, 2]), send(mailbox, [3, 4])]);
        assert_eq!(event_loop.poll.writes(), 1);
        assert_eq!(wait_and_read(&event_loop).count(), 4);
    });
}

#[test]
fn a_reader_that_ends_early_stops_no_sender_and_keeps_no_message() {
    explore("a reader that ends while they send", || {
        let message = Arc::new(());
        let (event_loop, mailbox) = EventLoop::new().expect("a event_loop");
        let senders = [&message; 2].map(|message| send(mailbox.clone(), [Arc::clone(message)]));
        assert!(wait_and_read(&event_loop).count() <= 2);
        drop(event_loop);
        join(senders);
        assert_eq!(Arc::strong_count(&message), 1);
    });
}

#[test]
fn a_wake_up_without_a_message_wakes_the_reader() {
    explore("a message, and a ring without one", || {
        let (event_loop, mailbox) = EventLoop::new().expect("a event_loop");
        let (waker, fact) = (mailbox.waker(), Arc::new(loom::sync::atomic::AtomicBool::new(false)));
        let ringer = thread::spawn({
            let fact = Arc::clone(&fact);
            move || {
                fact.store(true, SeqCst);
                waker.wake();
            }
        });
        let senders = [send(mailbox, [()]), ringer];
        let mut received = 0;
        while received < 1 || !fact.load(SeqCst) {
            received += wait_and_read(&event_loop).count();
        }
        join(senders);
        assert_eq!(received, 1);
    });
}

#[test]
fn a_reader_that_leaves_mail_for_its_next_turn_reads_all_of_it() {
    explore("one sender to a reader that takes one message a turn", || {
        let (event_loop, mailbox) = EventLoop::new().expect("a event_loop");
        let sender = send(mailbox, [1, 2]);
        let mut received = Vec::new();
        while received.len() < 2 {
            event_loop.wait(&mut Events, None).expect("a wait");
            let count = event_loop.inbox.acknowledge();
            received.extend((0..count.min(1)).filter_map(|_| event_loop.inbox.take()));
            if count > 1 {
                event_loop.inbox.leave_rest();
            }
        }
        sender.join().expect("it sent all");
        assert_eq!(received, [1, 2]);
    });
}
