//! What a client sends, and what it must receive.

use super::rng::Rng;
use crate::wire::codec::Framing;

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
}

/// How a dialogue ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Whole,
    Truncated,
    TooLong,
    /// The handler panics at its last message.
    Panic,
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
        let Some(answered) = &self.answered else { return count };
        let reached = answered.partition_point(|&(sent, _)| sent <= count);
        reached.checked_sub(1).map_or(0, |last| answered[last].1)
    }

    /// Where the message begins that the first `count` bytes leave incomplete.
    pub(super) fn message_at(&self, count: usize) -> usize {
        let Some(answered) = &self.answered else { return count };
        let reached = answered.partition_point(|&(sent, _)| sent <= count);
        reached.checked_sub(1).map_or(0, |last| answered[last].0)
    }

    fn raw(rng: &mut Rng) -> Dialogue {
        let most = rng.pick(&[10, 100, 600, 20_000]);
        let length = rng.below(most);
        let sent: Vec<u8> = (0..length).map(|_| rng.below(256) as u8).collect();
        Dialogue { replies: sent.clone(), sent, answered: None, ending: Ending::Whole }
    }

    fn framed(framing: &Framing, rng: &mut Rng) -> Dialogue {
        let (mut sent, mut replies, mut answered) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rng.below(25) {
            let body = body(framing, rng);
            sent.extend(encode(framing, &body));
            answers(&body).iter().for_each(|answer| replies.extend(encode(framing, answer)));
            answered.push((sent.len(), replies.len()));
        }
        let ending = rng.pick(&[
            Ending::Whole,
            Ending::Whole,
            Ending::Whole,
            Ending::Truncated,
            Ending::TooLong,
            Ending::Panic,
        ]);
        sent.extend(last_message(framing, ending, rng));
        Dialogue { sent, replies, answered: Some(answered), ending }
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
fn encode(framing: &Framing, body: &[u8]) -> Vec<u8> {
    match framing {
        Framing::Len32 => [&(body.len() as u32).to_le_bytes(), body].concat(),
        Framing::Delimited(delimiter) => [body, delimiter].concat(),
        Framing::Raw | Framing::Fixed(_) => body.to_vec(),
    }
}
