//! What a client says, and what it is to hear.

use super::dice::Dice;
use crate::wire::codec::Framing;

/// The longest message that a simulated server accepts.
pub(super) const MAX_MESSAGE: usize = 40;
/// What its replies begin with, where they are framed.
pub(super) const PREFIX: &[u8] = b"re:";
/// How often the body of a long reply is repeated, and of a huge one: so often that
/// it fills what is sent before more is handled.
pub(super) const LONG: usize = 40;
pub(super) const HUGE: usize = 4000;

/// All that one client says, and all that it may be answered.
#[derive(Debug)]
pub(super) struct Speech {
    pub(super) said: Vec<u8>,
    pub(super) replies: Vec<u8>,
    /// How long both are after each message that is answered; none if every byte is.
    milestones: Option<Vec<(usize, usize)>>,
    pub(super) ending: Ending,
}

/// How a speech ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Whole,
    Truncated,
    TooLong,
    /// The handler panics at its last message.
    Panic,
}

impl Speech {
    pub(super) fn new(framing: &Framing, dice: &mut Dice) -> Speech {
        match framing {
            Framing::Raw => Speech::raw(dice),
            _ => Speech::framed(framing, dice),
        }
    }

    /// How many bytes of replies the first `spoken` bytes call for.
    pub(super) fn owed(&self, spoken: usize) -> usize {
        let Some(milestones) = &self.milestones else { return spoken };
        let reached = milestones.partition_point(|&(said, _)| said <= spoken);
        reached.checked_sub(1).map_or(0, |last| milestones[last].1)
    }

    /// Where the message begins that the first `spoken` bytes leave incomplete.
    pub(super) fn message_at(&self, spoken: usize) -> usize {
        let Some(milestones) = &self.milestones else { return spoken };
        let reached = milestones.partition_point(|&(said, _)| said <= spoken);
        reached.checked_sub(1).map_or(0, |last| milestones[last].0)
    }

    fn raw(dice: &mut Dice) -> Speech {
        let most = dice.pick(&[10, 100, 600, 20_000]);
        let length = dice.roll(most);
        let said: Vec<u8> = (0..length).map(|_| dice.roll(256) as u8).collect();
        Speech { replies: said.clone(), said, milestones: None, ending: Ending::Whole }
    }

    fn framed(framing: &Framing, dice: &mut Dice) -> Speech {
        let (mut said, mut replies, mut milestones) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..dice.roll(25) {
            let body = body(framing, dice);
            said.extend(encode(framing, &body));
            answers(&body).iter().for_each(|answer| replies.extend(encode(framing, answer)));
            milestones.push((said.len(), replies.len()));
        }
        let ending = dice.pick(&[
            Ending::Whole,
            Ending::Whole,
            Ending::Whole,
            Ending::Truncated,
            Ending::TooLong,
            Ending::Panic,
        ]);
        said.extend(last_words(framing, ending, dice));
        Speech { said, replies, milestones: Some(milestones), ending }
    }
}

/// A message whose first byte says how it is to be answered.
fn body(framing: &Framing, dice: &mut Dice) -> Vec<u8> {
    let mut body = vec![dice.pick(b"eeeeeoonntl")];
    if dice.chance(10) {
        body[0] = b'h';
    }
    body.extend((1..dice.roll(MAX_MESSAGE)).map(|_| dice.roll(256) as u8));
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

fn last_words(framing: &Framing, ending: Ending, dice: &mut Dice) -> Vec<u8> {
    match (ending, framing) {
        (Ending::Whole, _) => vec![],
        (Ending::Panic, _) => [encode(framing, b"panic"), encode(framing, b"unheard")].concat(),
        (Ending::Truncated, _) => {
            let whole = encode(framing, b"only the beginning of this");
            whole[..dice.count(whole.len() - 1)].to_vec()
        }
        (Ending::TooLong, Framing::Len32) => {
            let length = dice.pick(&[MAX_MESSAGE as u32 + 1, i32::MAX as u32, 1 << 31, u32::MAX]);
            [&length.to_le_bytes()[..], b"and more"].concat()
        }
        (Ending::TooLong, _) => vec![b'x'; MAX_MESSAGE + dice.count(100)],
    }
}

/// The framing once more, as plainly as it can be said.
fn encode(framing: &Framing, body: &[u8]) -> Vec<u8> {
    match framing {
        Framing::Len32 => [&(body.len() as u32).to_le_bytes(), body].concat(),
        Framing::Delimited(delimiter) => [body, delimiter].concat(),
        Framing::Raw | Framing::Fixed(_) => body.to_vec(),
    }
}
