//! What src/net/mailbox.rs stands on, for loom: its atomics, and models of the rest. It
//! finds them where it finds the real ones, in `crate::sync`, `crate::poll` and so on.

pub(crate) mod sync {
    use std::collections::VecDeque;
    use std::sync::Arc;
    use std::sync::atomic::Ordering::SeqCst;

    use loom::sync::Mutex;
    use loom::sync::atomic::AtomicUsize;

    pub(crate) use loom::sync::atomic::AtomicU8;

    pub(crate) use super::poll::File;

    /// A queue as crossbeam's: the length is read without a lock, so it may be an old
    /// one unless something else says that the reader has seen the message's sender.
    #[derive(Debug)]
    struct Queue<T> {
        /// `None` once the reader is gone.
        messages: Mutex<Option<VecDeque<T>>>,
        len: AtomicUsize,
    }

    #[derive(Debug)]
    pub(crate) struct Sender<T>(Arc<Queue<T>>);

    #[derive(Debug)]
    pub(crate) struct Receiver<T>(Arc<Queue<T>>);

    pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
        let messages = Mutex::new(Some(VecDeque::new()));
        let queue = Arc::new(Queue { messages, len: AtomicUsize::new(0) });
        (Sender(Arc::clone(&queue)), Receiver(queue))
    }

    impl<T> Sender<T> {
        pub(crate) fn send(&self, message: T) -> Result<(), T> {
            match &mut *self.0.messages.lock().expect("no panic") {
                None => return Err(message),
                Some(messages) => messages.push_back(message),
            }
            self.0.len.fetch_add(1, SeqCst);
            Ok(())
        }
    }

    impl<T> Clone for Sender<T> {
        fn clone(&self) -> Sender<T> {
            Sender(Arc::clone(&self.0))
        }
    }

    impl<T> Receiver<T> {
        pub(crate) fn len(&self) -> usize {
            self.0.len.load(SeqCst)
        }

        pub(crate) fn try_recv(&self) -> Result<T, ()> {
            let mut messages = self.0.messages.lock().expect("no panic");
            let message = messages.as_mut().and_then(VecDeque::pop_front).ok_or(())?;
            self.0.len.fetch_sub(1, SeqCst);
            Ok(message)
        }
    }

    impl<T> Drop for Receiver<T> {
        fn drop(&mut self) {
            *self.0.messages.lock().expect("no panic") = None;
        }
    }
}

/// An eventfd and an epoll that watches it edge-triggered.
pub(crate) mod poll {
    use std::cell::OnceCell;
    use std::io::{self, Write};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::time::Duration;

    use loom::sync::{Condvar, Mutex};

    use super::token::Token;

    /// However often it is written to, one event is remembered, until a wait takes it.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct File(Arc<Event>);

    #[derive(Debug, Default)]
    struct Event {
        pending: Mutex<bool>,
        changed: Condvar,
        writes: AtomicUsize,
    }

    impl Write for &File {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            *self.0.pending.lock().expect("no panic") = true;
            self.0.changed.notify_one();
            self.0.writes.fetch_add(1, Relaxed);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Nobody asks what the event was.
    #[derive(Debug)]
    pub(crate) struct Events;

    impl Events {
        pub(crate) fn is_empty(&self) -> bool {
            true
        }
    }

    #[derive(Debug)]
    pub(crate) struct Interest;

    impl Interest {
        pub(crate) const WAKER: Interest = Interest;
    }

    #[derive(Debug)]
    pub(crate) struct Poll(OnceCell<File>);

    impl Poll {
        pub(crate) fn new() -> io::Result<Poll> {
            Ok(Poll(OnceCell::new()))
        }

        pub(crate) fn watch(
            &self,
            file: &File,
            _: Token,
            _: &mut Option<Interest>,
            _: Interest,
        ) -> io::Result<()> {
            self.0.set(file.clone()).map_err(|_| io::Error::other("one is watched already"))
        }

        /// Waits for the event, or not at all, and takes it. Where it never comes loom
        /// says "deadlock".
        pub(crate) fn wait(&self, _: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
            let event = self.event();
            let mut pending = event.pending.lock().expect("no panic");
            while !*pending && timeout.is_none() {
                pending = event.changed.wait(pending).expect("no panic");
            }
            *pending = false;
            Ok(())
        }

        /// How many system calls the rings have cost so far.
        pub(crate) fn writes(&self) -> usize {
            self.event().writes.load(Relaxed)
        }

        fn event(&self) -> &Event {
            &self.0.get().expect("the waker is watched").0
        }
    }
}

pub(crate) mod sys {
    use super::poll::File;

    pub(crate) fn eventfd() -> std::io::Result<File> {
        Ok(File::default())
    }
}

pub(crate) mod token {
    #[derive(Debug)]
    pub(crate) struct Token;

    impl Token {
        pub(crate) const WAKE: Token = Token;
    }
}
