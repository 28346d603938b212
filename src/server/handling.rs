//! Handling the messages of one input: decode, call the handler, collect the replies.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::server::handle::Handle;
use crate::server::handler::{Handler, Reply};
use crate::wire::codec::TooLong;
use crate::wire::reason::Reason;
use crate::wire::replies::Replies;

/// What was done with some bytes.
#[derive(Debug)]
pub(crate) struct Handled {
    /// How many of them, from the front, are done with.
    pub(crate) consumed: usize,
    pub(crate) messages: u64,
    pub(crate) verdict: Verdict,
}

/// Why handling ended where it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The rest is no whole message.
    NeedMore,
    /// The replies must be sent before more are made.
    OutputFull,
    /// A whole message is there, and no job is free to carry it to a worker.
    NoJob,
    /// A worker has the bytes.
    Submitted,
    /// The connection must end.
    End(Reason),
}

/// How many bytes of replies are sent before more are made. What a connection holds unsent
/// is therefore at most this and the replies to one message.
pub(crate) const OUTPUT_FULL: usize = 64 * 1024;

impl Handled {
    /// Nothing was done with any byte.
    pub(crate) fn nothing(verdict: Verdict) -> Handled {
        Handled { consumed: 0, messages: 0, verdict }
    }
}

/// Handles the whole messages of an input, one after the other, until the rest is no whole
/// message or there are replies enough.
///
/// The first `searched` bytes of the input hold no whole message. A reactor calls this
/// inline, a worker for a job.
pub(crate) fn handle<H: Handler>(
    server: &Handle,
    handler: &H,
    session: &mut H::Session,
    mut searched: usize,
    replies: &mut Replies<'_>,
) -> Handled {
    let input = replies.input();
    let mut handled = Handled::nothing(Verdict::NeedMore);
    let verdict = contained(|| {
        while replies.len() <= OUTPUT_FULL {
            match server.codec().decode(&input[handled.consumed..], searched) {
                Ok(None) => return Verdict::NeedMore,
                Err(TooLong) => return Verdict::End(Reason::TooLong),
                Ok(Some(frame)) => {
                    let place = handled.consumed..handled.consumed + frame.length;
                    handled.consumed = place.end;
                    handled.messages += 1;
                    let mut reply = Reply::new(server, place, replies.reborrow());
                    handler.message(session, frame.body, &mut reply);
                    if reply.closes() {
                        return Verdict::End(Reason::Close);
                    }
                }
            }
            searched = 0;
        }
        Verdict::OutputFull
    });
    handled.verdict = verdict.unwrap_or(Verdict::End(Reason::Panic));
    handled
}

/// Runs the handler's code. A panic in it ends here, as `None`.
pub(crate) fn contained<T>(run: impl FnOnce() -> T) -> Option<T> {
    let panic = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => return Some(result),
        Err(panic) => panic,
    };
    // To drop what was thrown may panic again. What that throws is leaked.
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(another);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_that_panics_again_when_it_is_dropped_is_contained() {
        struct Again;
        impl Drop for Again {
            fn drop(&mut self) {
                // Without a size, so that nothing is allocated that could leak.
                std::panic::resume_unwind(Box::new(()));
            }
        }
        assert_eq!(contained(|| 1), Some(1));
        assert_eq!(contained(|| std::panic::resume_unwind(Box::new(Again))), None::<()>);
    }
}
