//! A second codec, written to be obviously right: it has the whole stream at once
//! and reads it byte by byte. Shared by `tests/it/` and `tests/fuzz/`.

use reactor_server::Framing;

/// What a stream decodes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) messages: Vec<Vec<u8>>,
    /// The bytes after the last message.
    pub(crate) rest: Vec<u8>,
    /// Whether those are refused.
    pub(crate) refused: bool,
}

pub(crate) fn decode(framing: &Framing, max: usize, stream: &[u8]) -> Decoded {
    let (mut messages, mut rest) = (Vec::new(), stream);
    loop {
        match first(framing, max, rest) {
            Some(Ok((skip, body, end))) if end <= rest.len() => {
                messages.push(rest[skip..skip + body].to_vec());
                rest = &rest[end..];
            }
            other => {
                let refused = other == Some(Err(()));
                return Decoded { messages, rest: rest.to_vec(), refused };
            }
        }
    }
}

/// What stands in front of the first message, how long it is and where it ends, as
/// soon as that is known; an error if it is refused.
fn first(framing: &Framing, max: usize, rest: &[u8]) -> Option<Result<(usize, usize, usize), ()>> {
    match framing {
        Framing::Raw => Some(Ok((0, rest.len(), rest.len()))).filter(|_| !rest.is_empty()),
        Framing::Fixed(size) => Some(Ok((0, *size, *size))),
        Framing::Len32 if rest.len() < 4 => None,
        Framing::Len32 => {
            let length = (0..4).map(|at| usize::from(rest[at]) << (8 * at)).sum();
            Some(if length > max { Err(()) } else { Ok((4, length, 4 + length)) })
        }
        Framing::Delimited(end) => {
            let last = max.min(rest.len());
            match (0..=last).find(|&at| rest[at..].starts_with(end)) {
                Some(at) => Some(Ok((0, at, at + end.len()))),
                None => (rest.len() >= max + end.len()).then_some(Err(())),
            }
        }
    }
}
