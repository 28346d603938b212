//! The replies to one read, on their way to the kernel.

use std::ops::Range;

/// Replies to messages that stand one after the other in some bytes, the input.
///
/// As long as they repeat the front of the input as it stands, they are that front, and
/// nothing is copied: an echo is sent from where it was read.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    /// How many bytes of the input they are; if any, none were made.
    repeated: usize,
    made: Vec<u8>,
}

impl Replies {
    /// How many bytes they are.
    pub(crate) fn len(&self) -> usize {
        self.repeated + self.made.len()
    }

    /// All of them, to messages of `input`.
    pub(crate) fn as_slice<'a>(&'a self, input: &'a [u8]) -> &'a [u8] {
        if self.repeated > 0 { &input[..self.repeated] } else { &self.made }
    }

    /// Repeats a message of `input`, which has its place there.
    pub(crate) fn repeat(&mut self, input: &[u8], place: Range<usize>) {
        if self.made.is_empty() && self.repeated == place.start {
            self.repeated = place.end;
        } else {
            self.own(input).extend_from_slice(&input[place]);
        }
    }

    /// Has them do without the `input`, by copying what they repeat of it. What is added to
    /// the result comes behind.
    pub(crate) fn own(&mut self, input: &[u8]) -> &mut Vec<u8> {
        self.made.extend_from_slice(&input[..self.repeated]);
        self.repeated = 0;
        &mut self.made
    }

    /// Makes room for those to the next input, and keeps so much memory at most.
    pub(crate) fn clear(&mut self, kept: usize) {
        self.repeated = 0;
        self.made.clear();
        self.made.shrink_to(kept);
    }

    /// How much memory they have.
    pub(crate) fn memory(&self) -> usize {
        self.made.capacity()
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
        let mut replies = Replies::default();
        PLACES.into_iter().for_each(|place| replies.repeat(INPUT, place));
        assert_eq!(replies.as_slice(INPUT).as_ptr_range(), INPUT.as_ptr_range());
        assert_eq!(replies.memory(), 0);
    }

    proptest! {
        #[test]
        fn whatever_is_said_to_each_message_comes_out_in_that_order(
            said in prop::collection::vec(prop::collection::vec(any::<bool>(), 0..4), 3),
        ) {
            let (mut replies, mut expected) = (Replies::default(), Vec::new());
            for (place, answers) in PLACES.into_iter().zip(said) {
                for is_echo in answers {
                    let message: &[u8] = if is_echo { &INPUT[place.clone()] } else { b"own" };
                    expected.extend_from_slice(message);
                    match is_echo {
                        true => replies.repeat(INPUT, place.clone()),
                        false => replies.own(INPUT).extend_from_slice(message),
                    }
                    prop_assert_eq!(replies.as_slice(INPUT), &expected);
                    prop_assert_eq!(replies.len(), expected.len());
                }
            }
            replies.own(INPUT);
            prop_assert_eq!(replies.as_slice(b""), &expected);
        }
    }
}
