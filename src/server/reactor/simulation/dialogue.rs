//! What a client sends, and what it must receive.

use super::pushes::Pushes;
use super::rng::Rng;
use crate::wire::codec::Framing;

/// The last reply of a connection that the handler closes.
pub(super) const CLOSING: &[u8] = b"re:closing";
/// The longest message that a simulated server accepts.
pub(super) const MAX_MESSAGE: usize = 40;
/// What the replies begin with if they are framed.
pub(super) const PREFIX: &[u8] = b"re:";
/// How often the body of a long and of a huge reply is repeated. A huge one alone fills the
/// output.
pub(super) const LONG: usize = 40;
pub(super) const HUGE: usize = 4000;

/// All that one client sends, and all that it may be answered.
#[derive(Debug)]
pub(super) struct Dialogue {
    pub(super) sent: Vec<u8>,
    pub(super) replies: Vec<u8>,
    /// The length of both after each message that is answered. `None` if every byte is.
    answered: Option<Vec<(usize, usize)>>,
    pub(super) ending: Ending,
    /// What the server says first.
    pub(super) greeting: Option<Vec<u8>>,
    /// How many bytes that has on the wire.
    greeting_length: usize,
    /// Where each reply ends. `None` if every byte is one.
    ends: Option<Vec<usize>>,
    /// How many bytes the framing puts in front of a message.
    pub(super) prefix: usize,
    /// What a message begins with that is pushed.
    pub(super) mark: u8,
}

/// How a dialogue ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Whole,
    Truncated,
    TooLong,
    /// The handler panics at its last message.
    Panic,
    /// The handler closes at its last message.
    Close,
}

impl Dialogue {
    pub(super) fn new(framing: &Framing, rng: &mut Rng) -> Dialogue {
        match framing {
            Framing::Raw => Dialogue::raw(rng),
            _ => Dialogue::framed(framing, rng),
        }
    }

    /// How many bytes of replies the first `count` bytes call for.
    pub(super) fn owed(&self, count: usize) -> usize {
        let Some(answered) = &self.answered else { return self.greeting_length + count };
        let reached = answered.partition_point(|&(sent, _)| sent <= count);
        reached.checked_sub(1).map_or(self.greeting_length, |last| answered[last].1)
    }

    /// Where the message begins that the first `count` bytes leave incomplete.
    pub(super) fn message_at(&self, count: usize) -> usize {
        let Some(answered) = &self.answered else { return count };
        let reached = answered.partition_point(|&(sent, _)| sent <= count);
        reached.checked_sub(1).map_or(0, |last| answered[last].0)
    }

    /// Returns whether a reply may begin there.
    pub(super) fn begins_reply(&self, place: usize) -> bool {
        let is_end = |ends: &Vec<usize>| ends.binary_search(&place).is_ok();
        place == 0 || self.ends.as_ref().is_none_or(is_end)
    }

    /// Where the reply ends that has a byte there, if one reply can be told from another.
    pub(super) fn reply_end(&self, place: usize) -> Option<usize> {
        let ends = self.ends.as_ref()?;
        let after = ends.partition_point(|&end| end <= place);
        Some(ends.get(after).copied().unwrap_or(usize::MAX))
    }

    /// How many replies end there or before: bytes, if one cannot be told from another.
    pub(super) fn replies_in(&self, place: usize) -> usize {
        self.ends.as_ref().map_or(place, |ends| ends.partition_point(|&end| end <= place))
    }

    fn raw(rng: &mut Rng) -> Dialogue {
        let most = rng.pick(&[10, 100, 600, 20_000]);
        let length = rng.below(most);
        let mark = Pushes::mark(&Framing::Raw);
        let sent: Vec<u8> = (0..length).map(|_| rng.below(mark.into()) as u8).collect();
        let greeting = rng.chance(300).then(|| b"hello".to_vec());
        let replies = [greeting.as_deref().unwrap_or_default(), &sent].concat();
        let greeting_length = replies.len() - sent.len();
        let (answered, ends, prefix, ending) = (None, None, 0, Ending::Whole);
        Dialogue { sent, replies, answered, ending, greeting, greeting_length, ends, prefix, mark }
    }

    fn framed(framing: &Framing, rng: &mut Rng) -> Dialogue {
        let (mut sent, mut replies, mut answered) = (Vec::new(), Vec::new(), Vec::new());
        let mut ends = Vec::new();
        let mut reply = |replies: &mut Vec<u8>, body: &[u8]| {
            replies.extend(encode(framing, body));
            ends.push(replies.len());
        };
        let greeting = rng.chance(300).then(|| b"hello".to_vec());
        greeting.iter().for_each(|greeting| reply(&mut replies, greeting));
        let greeting_length = replies.len();
        for _ in 0..rng.below(25) {
            let body = body(framing, rng);
            sent.extend(encode(framing, &body));
            answers(&body).iter().for_each(|answer| reply(&mut replies, answer));
            answered.push((sent.len(), replies.len()));
        }
        let ending = rng.pick(&[
            Ending::Whole,
            Ending::Whole,
            Ending::Whole,
            Ending::Truncated,
            Ending::TooLong,
            Ending::Panic,
            Ending::Close,
        ]);
        sent.extend(last_message(framing, ending, rng));
        if ending == Ending::Close {
            reply(&mut replies, CLOSING);
        }
        let prefix = if *framing == Framing::Len32 { 4 } else { 0 };
        let (answered, ends, mark) = (Some(answered), Some(ends), Pushes::mark(framing));
        Dialogue { sent, replies, answered, ending, greeting, greeting_length, ends, prefix, mark }
    }
}

/// A message whose first byte says how it is to be answered.
fn body(framing: &Framing, rng: &mut Rng) -> Vec<u8> {
    let mut body = vec![rng.pick(b"eeeeeoonntl")];
    if rng.chance(10) {
        body[0] = b'h';
    }
    body.extend((1..rng.below(MAX_MESSAGE)).map(|_| rng.below(256) as u8));
    if let Framing::Delimited(delimiter) = framing {
        body.retain(|byte| !delimiter.contains(byte));
    }
    body
}

fn answers(body: &[u8]) -> Vec<Vec<u8>> {
    let once = [PREFIX, body].concat();
    match body[0] {
        b'e' => vec![body.to_vec()],
        b'n' => vec![],
        b't' => vec![once.clone(), once],
        b'l' => vec![[PREFIX, &body.repeat(LONG)].concat()],
        b'h' => vec![[PREFIX, &body.repeat(HUGE)].concat()],
        _ => vec![once],
    }
}

fn last_message(framing: &Framing, ending: Ending, rng: &mut Rng) -> Vec<u8> {
    match (ending, framing) {
        (Ending::Whole, _) => vec![],
        (Ending::Close, _) => [encode(framing, b"quit"), encode(framing, b"unheard")].concat(),
        (Ending::Panic, _) => [encode(framing, b"panic"), encode(framing, b"unheard")].concat(),
        (Ending::Truncated, _) => {
            let whole = encode(framing, b"only the beginning of this");
            whole[..rng.count(whole.len() - 1)].to_vec()
        }
        (Ending::TooLong, Framing::Len32) => {
            let length = rng.pick(&[MAX_MESSAGE as u32 + 1, i32::MAX as u32, 1 << 31, u32::MAX]);
            [&length.to_le_bytes()[..], b"and more"].concat()
        }
        (Ending::TooLong, _) => vec![b'x'; MAX_MESSAGE + rng.count(100)],
    }
}

/// The framing once more, as plainly as possible.
pub(super) fn encode(framing: &Framing, body: &[u8]) -> Vec<u8> {
    match framing {
        Framing::Len32 => [&(body.len() as u32).to_le_bytes(), body].concat(),
        Framing::Delimited(delimiter) => [body, delimiter].concat(),
        Framing::Raw | Framing::Fixed(_) => body.to_vec(),
    }
}
