//! Framing: where one message ends and the next begins.

use memchr::memmem::Finder;

/// How messages are told apart on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Framing {
    /// Not at all: a message is what one read brings (RFC 862).
    Raw,
    /// Every message has this many bytes, at least one.
    Fixed(usize),
    /// A little-endian `u32` length, then that many bytes.
    Len32,
    /// The message, then these bytes, which it cannot contain; at least one. Handlers get the
    /// message without them. What follows the last of them, when the peer closes, is no message.
    Delimited(Vec<u8>),
}

impl Framing {
    /// Messages that end with `\n`. A `\r` in front of it belongs to the message.
    pub fn line() -> Framing {
        Framing::Delimited(b"\n".to_vec())
    }
}

/// Cuts bytes into messages, and encodes messages as bytes.
#[derive(Debug)]
pub struct Codec {
    framing: Framing,
    delimiter: Finder<'static>,
    max_message: usize,
}

/// The first message of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The message itself.
    pub body: &'a [u8],
    /// How many bytes it has on the wire, with its framing.
    pub length: usize,
}

/// A message is longer than allowed, or announces that it will be.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong;

/// How many bytes the length in front of a [`Framing::Len32`] message has.
const PREFIX: usize = size_of::<u32>();

impl Codec {
    /// A codec that refuses messages of more than `max_message` bytes, so that no peer can
    /// make the server hold more. [`Framing::Raw`] has no limit and needs none.
    pub fn new(framing: Framing, max_message: usize) -> Codec {
        let delimiter = match &framing {
            Framing::Delimited(delimiter) => Finder::new(delimiter).into_owned(),
            _ => Finder::new("").into_owned(),
        };
        Codec { framing, delimiter, max_message }
    }

    /// The first message of `bytes`, or `None` while it is incomplete.
    ///
    /// The first `searched` bytes hold no whole message. They are not searched for a
    /// delimiter again.
    ///
    /// # Errors
    /// [`TooLong`], as soon as that is known and before anything is kept.
    pub fn decode<'a>(
        &self,
        bytes: &'a [u8],
        searched: usize,
    ) -> Result<Option<Frame<'a>>, TooLong> {
        match &self.framing {
            Framing::Raw => Ok(whole(bytes, 0, bytes.len().max(1), 0)),
            Framing::Fixed(size) => Ok(whole(bytes, 0, *size, 0)),
            Framing::Len32 => self.decode_len32(bytes),
            Framing::Delimited(delimiter) => {
                self.decode_delimited(bytes, searched, delimiter.len())
            }
        }
    }

    /// Appends one message to `out`, made of `parts` one after the other.
    ///
    /// # Panics
    /// With a [`Framing::Len32`] message of 4 GiB or more.
    pub fn encode(&self, parts: &[&[u8]], out: &mut Vec<u8>) {
        if self.framing == Framing::Len32 {
            let length: usize = parts.iter().map(|part| part.len()).sum();
            let length = u32::try_from(length).expect("a message of less than 4 GiB");
            out.extend_from_slice(&length.to_le_bytes());
        }
        for part in parts {
            out.extend_from_slice(part);
        }
        if let Framing::Delimited(delimiter) = &self.framing {
            out.extend_from_slice(delimiter);
        }
    }

    fn decode_len32<'a>(&self, bytes: &'a [u8]) -> Result<Option<Frame<'a>>, TooLong> {
        let Some(prefix) = bytes.first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*prefix) as usize;
        if length > self.max_message {
            return Err(TooLong);
        }
        Ok(whole(bytes, PREFIX, length, 0))
    }

    fn decode_delimited<'a>(
        &self,
        bytes: &'a [u8],
        searched: usize,
        delimiter: usize,
    ) -> Result<Option<Frame<'a>>, TooLong> {
        // The searched bytes may end with the first bytes of a delimiter.
        let from = searched.saturating_sub(delimiter - 1);
        let found = self.delimiter.find(&bytes[from..]).map(|at| from + at);
        let body = found.unwrap_or(bytes.len().saturating_sub(delimiter - 1));
        if body > self.max_message {
            return Err(TooLong);
        }
        Ok(found.and_then(|body| whole(bytes, 0, body, delimiter)))
    }
}

/// The message of `body` bytes between a head and a tail, if `bytes` contain all of it.
fn whole(bytes: &[u8], head: usize, body: usize, tail: usize) -> Option<Frame<'_>> {
    // Where addresses have 32 bits, a message of 4 GiB is never whole.
    let length = body.checked_add(head + tail)?;
    let frame = bytes.get(..length)?;
    Some(Frame { body: &frame[head..head + body], length })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 1000;

    fn framings() -> impl Strategy<Value = Framing> {
        prop_oneof![
            Just(Framing::Len32),
            Just(Framing::line()),
            Just(Framing::Delimited(b"\r\n\r\n".to_vec())),
        ]
    }

    /// Feeds the stream in the given pieces, as a connection would.
    fn decode_in_pieces(codec: &Codec, pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut held, mut messages) = (Vec::new(), Vec::new());
        for piece in pieces {
            let mut searched = held.len();
            held.extend_from_slice(piece);
            while let Some(frame) = codec.decode(&held, searched).expect("no message is too long") {
                messages.push(frame.body.to_vec());
                let length = frame.length;
                held.drain(..length);
                searched = 0;
            }
        }
        assert!(held.is_empty());
        messages
    }

    proptest! {
        #[test]
        fn messages_survive_every_split_of_their_stream(
            framing in framings(),
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..8),
        ) {
            // A message cannot contain its delimiter, nor end with the first bytes of one.
            let text = |message: Vec<u8>| message.into_iter().filter(|byte| !b"\r\n".contains(byte)).collect();
            let delimited = matches!(framing, Framing::Delimited(_));
            let messages: Vec<Vec<u8>> = messages.into_iter().map(|message| if delimited { text(message) } else { message }).collect();
            let codec = Codec::new(framing, MAX);
            let mut stream = Vec::new();
            messages.iter().for_each(|message| codec.encode(&[message], &mut stream));
            for split in 0..=stream.len() {
                let (front, back) = stream.split_at(split);
                prop_assert_eq!(&decode_in_pieces(&codec, &[front, back]), &messages);
            }
            let bytes: Vec<&[u8]> = stream.chunks(1).collect();
            prop_assert_eq!(&decode_in_pieces(&codec, &bytes), &messages);
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_its_body_arrives() {
        let codec = Codec::new(Framing::Len32, MAX);
        let hostile = [MAX as u32 + 1, i32::MAX as u32, 1 << 31, u32::MAX - 4, u32::MAX];
        for length in hostile {
            assert_eq!(codec.decode(&length.to_le_bytes(), 0), Err(TooLong), "{length}");
        }
        assert_eq!(codec.decode(&(MAX as u32).to_le_bytes(), 0), Ok(None));
    }

    #[test]
    fn a_line_over_the_limit_is_refused_before_it_ends() {
        let codec = Codec::new(Framing::line(), MAX);
        let line = vec![b'x'; MAX + 1];
        assert_eq!(codec.decode(&line[..MAX], 0), Ok(None));
        assert_eq!(codec.decode(&line, MAX), Err(TooLong));
    }

    #[test]
    fn a_raw_message_is_what_arrived() {
        let codec = Codec::new(Framing::Raw, 0);
        assert_eq!(codec.decode(b"", 0), Ok(None));
        assert_eq!(codec.decode(b"abc", 0), Ok(Some(Frame { body: b"abc", length: 3 })));
    }
}
