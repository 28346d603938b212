//! Epoll made safe: [`Poll`], [`Events`], [`Event`], [`Interest`].
//!
//! The names mean what they mean in `mio`. Epoll is level-triggered here: the kernel keeps
//! the list of what is ready, so a bounded visit is fair, and a connection that is not read
//! for a while loses nothing.

use std::io;
use std::num::NonZeroU32;
use std::ops::BitOr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use crate::net::sys;
use crate::net::token::Token;

/// An epoll instance: what one thread waits on.
#[derive(Debug)]
pub struct Poll {
    epoll: OwnedFd,
}

impl Poll {
    /// A new instance that watches nothing yet.
    ///
    /// # Errors
    /// When the process or the machine is out of descriptors or memory.
    pub fn new() -> io::Result<Poll> {
        Ok(Poll { epoll: sys::epoll_create()? })
    }

    /// Watches a source for `interest`, until it is dropped: epoll forgets a descriptor when
    /// its last duplicate closes, and nothing here duplicates one.
    ///
    /// `watched` is what the source was watched for so far, `None` at first, and is updated.
    /// Where nothing changes there is no system call.
    ///
    /// # Errors
    /// Memory is short, or the user's limit of watches is reached.
    pub fn watch(
        &self,
        source: &impl AsFd,
        token: Token,
        watched: &mut Option<Interest>,
        interest: Interest,
    ) -> io::Result<()> {
        let operation = match watched.replace(interest) {
            None => libc::EPOLL_CTL_ADD,
            Some(before) if before != interest => libc::EPOLL_CTL_MOD,
            Some(_) => return Ok(()),
        };
        let (epoll, fd) = (self.epoll.as_fd(), source.as_fd());
        sys::epoll_ctl(epoll, operation, fd, interest.0.get(), token.to_bits())
    }

    /// Watches a source no longer that lives on elsewhere.
    ///
    /// # Errors
    /// It was not watched.
    pub fn forget(&self, source: &impl AsFd) -> io::Result<()> {
        sys::epoll_ctl(self.epoll.as_fd(), libc::EPOLL_CTL_DEL, source.as_fd(), 0, 0)
    }

    /// Waits until something is ready, the timeout passes or a signal arrives.
    ///
    /// # Errors
    /// None that a program could act on: they would be mistakes of this crate.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.ready = 0;
        events.ready = sys::epoll_wait(self.epoll.as_fd(), &mut events.list, timeout)?;
        Ok(())
    }
}

/// What a source is watched for. Epoll always reports errors and hang-ups, so they are part
/// of every interest. That keeps it from being zero, and an option of it as small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest(NonZeroU32);

impl Interest {
    /// Nothing but errors and hang-ups.
    pub const NONE: Interest = Interest::new(0);
    /// There is something to read, or the peer sent its FIN.
    pub const READABLE: Interest = Interest::new(libc::EPOLLIN);
    /// There is room to write.
    pub const WRITABLE: Interest = Interest::new(libc::EPOLLOUT);
    /// A waker: each write to it is reported once, and nobody needs to read it away.
    pub const WAKER: Interest = Interest::new(libc::EPOLLIN | libc::EPOLLET);

    const fn new(events: libc::c_int) -> Interest {
        let events = (events | libc::EPOLLERR | libc::EPOLLHUP) as u32;
        Interest(NonZeroU32::new(events).expect("errors are always reported"))
    }
}

#[cfg(test)]
impl Interest {
    /// What of `ready` epoll would report.
    pub(crate) fn filter(self, ready: libc::c_int) -> libc::c_int {
        ready & self.0.get() as libc::c_int
    }
}

impl BitOr for Interest {
    type Output = Interest;

    fn bitor(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }
}

/// How many events a thread fetches at once: enough to make the wait cheap for each, and few
/// enough for the mail to be read soon.
pub(crate) const EVENTS: usize = 256;

/// Room for the events of one wait.
pub struct Events {
    list: Box<[sys::epoll_event]>,
    ready: usize,
}

impl Events {
    /// Room for `capacity` events per wait. The next wait reports what is more.
    pub fn with_capacity(capacity: usize) -> Events {
        let empty = sys::epoll_event { events: 0, u64: 0 };
        Events { list: vec![empty; capacity].into(), ready: 0 }
    }

    /// How many events the last wait reported.
    pub fn len(&self) -> usize {
        self.ready
    }

    /// Returns whether the last wait reported none.
    pub fn is_empty(&self) -> bool {
        self.ready == 0
    }

    /// The events that the last wait reported.
    pub fn iter(&self) -> impl Iterator<Item = Event> {
        let reported = self.list[..self.ready].iter();
        reported.map(|event| Event { token: Token::from_bits(event.u64), ready: event.events })
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// One source that is ready.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    token: Token,
    ready: u32,
}

impl Event {
    /// An event that a test makes up.
    #[cfg(test)]
    pub(crate) fn scripted(token: Token, ready: libc::c_int) -> Event {
        Event { token, ready: ready as u32 }
    }

    /// The source that is ready.
    pub fn token(self) -> Token {
        self.token
    }

    /// Returns whether reading will not block. A hang-up counts: a read reports it.
    pub fn is_readable(self) -> bool {
        self.ready & (libc::EPOLLIN | libc::EPOLLHUP) as u32 != 0
    }

    /// Returns whether writing will not block.
    pub fn is_writable(self) -> bool {
        self.ready & libc::EPOLLOUT as u32 != 0
    }

    /// Returns whether the connection failed, for reading and writing alike.
    pub fn is_error(self) -> bool {
        self.ready & libc::EPOLLERR as u32 != 0
    }
}
