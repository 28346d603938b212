//! The replies to the messages of one input, on their way to the kernel.

use std::ops::Range;

/// The replies to messages that stand one after the other in some bytes, the input.
///
/// As long as the replies repeat the input from its front, unchanged, they *are* that
/// front: an echo is sent from where it was read, without a copy. The lifetime ties the
/// replies to the input they repeat, so they cannot be sent from any other bytes.
#[derive(Debug)]
pub(crate) struct Replies<'a> {
    input: &'a [u8],
    buffer: &'a mut ReplyBuffer,
}

/// Memory for the replies to one input after the other.
#[derive(Debug, Default)]
pub(crate) struct ReplyBuffer {
    /// How many bytes of the input the replies repeat. If it is more than 0, `made` is empty.
    repeated: usize,
    /// The replies, once they do not merely repeat the input.
    made: Vec<u8>,
}

impl ReplyBuffer {
    /// Begins the replies to the messages of `input`. Those to the last input are forgotten.
    pub(crate) fn replies_to<'a>(&'a mut self, input: &'a [u8]) -> Replies<'a> {
        self.repeated = 0;
        self.made.clear();
        Replies { input, buffer: self }
    }

    /// Keeps at most `kept` bytes of memory for the next replies.
    pub(crate) fn shrink_to(&mut self, kept: usize) {
        self.made.clear();
        self.made.shrink_to(kept);
    }
}

impl From<Vec<u8>> for ReplyBuffer {
    fn from(memory: Vec<u8>) -> ReplyBuffer {
        ReplyBuffer { repeated: 0, made: memory }
    }
}

impl<'a> Replies<'a> {
    /// What they are replies to.
    pub(crate) fn input(&self) -> &'a [u8] {
        self.input
    }

    /// How many bytes they have.
    pub(crate) fn len(&self) -> usize {
        self.buffer.repeated + self.buffer.made.len()
    }

    /// All of them, one after the other.
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self.buffer.repeated {
            0 => &self.buffer.made,
            repeated => &self.input[..repeated],
        }
    }

    /// Adds the message that stands at this place of the input.
    pub(crate) fn repeat(&mut self, place: Range<usize>) {
        if self.buffer.made.is_empty() && self.buffer.repeated == place.start {
            self.buffer.repeated = place.end;
        } else {
            let message = &self.input[place];
            self.made().extend_from_slice(message);
        }
    }

    /// The replies as bytes of their own, to which more can be appended.
    pub(crate) fn made(&mut self) -> &mut Vec<u8> {
        self.buffer.made.extend_from_slice(&self.input[..self.buffer.repeated]);
        self.buffer.repeated = 0;
        &mut self.buffer.made
    }

    /// The replies as bytes that outlive the input.
    pub(crate) fn into_vec(mut self) -> Vec<u8> {
        std::mem::take(self.made())
    }

    /// The same replies, for as long as one message is handled.
    pub(crate) fn reborrow(&mut self) -> Replies<'_> {
        Replies { input: self.input, buffer: self.buffer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INPUT: &[u8] = b"one,two,three,";
    const PLACES: [Range<usize>; 3] = [0..4, 4..8, 8..14];

    #[test]
    fn echoes_of_all_messages_are_the_input_itself() {
        let mut buffer = ReplyBuffer::default();
        let mut replies = buffer.replies_to(INPUT);
        PLACES.into_iter().for_each(|place| replies.repeat(place));
        assert_eq!(replies.as_slice().as_ptr_range(), INPUT.as_ptr_range());
        assert_eq!(buffer.made.capacity(), 0);
    }

    proptest! {
        #[test]
        fn the_answers_to_each_message_are_sent_in_that_order(
            answers in prop::collection::vec(prop::collection::vec(any::<bool>(), 0..4), 3),
        ) {
            let (mut buffer, mut expected) = (ReplyBuffer::default(), Vec::new());
            let mut replies = buffer.replies_to(INPUT);
            for (place, answers) in PLACES.into_iter().zip(answers) {
                for is_echo in answers {
                    let message: &[u8] = if is_echo { &INPUT[place.clone()] } else { b"own" };
                    expected.extend_from_slice(message);
                    match is_echo {
                        true => replies.repeat(place.clone()),
                        false => replies.made().extend_from_slice(message),
                    }
                    prop_assert_eq!(replies.as_slice(), &expected);
                    prop_assert_eq!(replies.len(), expected.len());
                }
            }
            prop_assert_eq!(replies.into_vec(), expected);
        }
    }
}
