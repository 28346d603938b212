//! All interleavings of two senders and the reader of their mail: `scripts/loom.sh`.
//!
//! What runs here is src/mailbox.rs itself. What it stands on is in `stand_in.rs`:
//! there, every step is one at which loom lets any other thread go first.
#![cfg(loom)]

#[path = "../../src/mailbox.rs"]
mod mailbox;
mod stand_in;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use loom::thread::{self, JoinHandle};

use mailbox::{Desk, Inbox, Mailbox, desk};
use stand_in::{poll, sync, sys, token};

/// Runs the model in all interleavings and says how many there are.
fn explore(name: &str, model: impl Fn() + Send + Sync + 'static) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    loom::model(move || {
        counter.fetch_add(1, SeqCst);
        model();
    });
    println!("{} interleavings: {name}", count.load(SeqCst));
}

/// Sends its letters from a thread of its own, which is gone after that.
fn send<T: 'static>(
    mailbox: Mailbox<T>,
    letters: impl IntoIterator<Item = T> + 'static,
) -> JoinHandle<()> {
    thread::spawn(move || letters.into_iter().for_each(|letter| mailbox.send(letter)))
}

/// What a reactor does when its bell has rung.
fn read<T>(inbox: &Inbox<T>) -> impl Iterator<Item = T> {
    (0..inbox.answer()).map_while(|_| inbox.take())
}

fn join(senders: [JoinHandle<()>; 2]) {
    senders.into_iter().for_each(|sender| sender.join().expect("it sent all"));
}

#[test]
fn no_wake_up_is_lost_and_no_letter_left_behind() {
    explore("two senders of a letter each", || {
        let (Desk { poll, inbox }, mailbox) = desk().expect("a desk");
        let senders = [send(mailbox.clone(), ["a"]), send(mailbox, ["b"])];
        let mut received = Vec::new();
        while received.len() < 2 {
            poll.wait();
            received.extend(read(&inbox));
        }
        join(senders);
        received.sort();
        assert_eq!(received, ["a", "b"]);
        assert_eq!((inbox.answer(), inbox.take()), (0, None));
    });
}

#[test]
fn letters_of_one_sender_arrive_in_order() {
    explore("one sender of three letters", || {
        let (Desk { poll, inbox }, mailbox) = desk().expect("a desk");
        let sender = send(mailbox, [1, 2, 3]);
        let mut received = Vec::new();
        while received.len() < 3 {
            poll.wait();
            received.extend(read(&inbox));
        }
        sender.join().expect("it sent all");
        assert_eq!(received, [1, 2, 3]);
        assert!(poll.writes() <= 3);
        assert_eq!((inbox.answer(), inbox.take()), (0, None));
    });
}

#[test]
fn however_many_letters_come_before_the_reader_looks_they_are_one_wake_up() {
    explore("two senders before the reader looks", || {
        let (Desk { poll, inbox }, mailbox) = desk().expect("a desk");
        join([send(mailbox.clone(), [1, 2]), send(mailbox, [3, 4])]);
        poll.wait();
        assert_eq!(read(&inbox).count(), 4);
        assert!(!poll.is_ready());
        assert_eq!(poll.writes(), 1);
    });
}

#[test]
fn a_reader_that_ends_early_stops_no_sender_and_keeps_no_letter() {
    explore("a reader that ends while they send", || {
        let letter = Arc::new(());
        let (desk, mailbox) = desk().expect("a desk");
        let senders = [&letter; 2].map(|letter| send(mailbox.clone(), [Arc::clone(letter)]));
        desk.poll.wait();
        assert!(read(&desk.inbox).count() <= 2);
        drop(desk);
        join(senders);
        assert_eq!(Arc::strong_count(&letter), 1);
    });
}

#[test]
fn a_bell_without_a_letter_wakes_its_reader_too() {
    explore("a letter, and a ring without one", || {
        let (Desk { poll, inbox }, mailbox) = desk().expect("a desk");
        let (bell, fact) = (mailbox.bell(), Arc::new(sync::AtomicBool::new(false)));
        let ringer = thread::spawn({
            let fact = Arc::clone(&fact);
            move || {
                fact.store(true, SeqCst);
                bell.ring();
            }
        });
        let senders = [send(mailbox, [()]), ringer];
        let mut received = 0;
        while received < 1 || !fact.load(SeqCst) {
            poll.wait();
            received += read(&inbox).count();
        }
        join(senders);
        assert_eq!(received, 1);
    });
}
