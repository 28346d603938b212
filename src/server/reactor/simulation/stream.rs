//! What a client receives: its replies, and between them what was pushed to it.

use super::dialogue::Dialogue;
use super::pushes::{HEAD, Pushes, Sent};

/// What a client has received so far.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// How many bytes of its replies.
    pub(super) replies: usize,
    /// What was pushed to it, by sender and number, in the order of arrival.
    pub(super) pushed: Vec<(u16, usize)>,
    /// The pushed message that is arriving, and how many of its bytes have arrived.
    arriving: Option<(Sent, usize)>,
    /// Too few bytes to tell what they begin.
    rest: Vec<u8>,
}

/// What some bytes begin with.
#[derive(Debug)]
enum Kind {
    TooShort,
    Reply,
    Push,
}

impl Stream {
    /// Takes what arrived. It must be what may arrive next.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        port: u16,
        dialogue: &Dialogue,
        pushes: &Pushes,
    ) -> Result<(), String> {
        let all = [&std::mem::take(&mut self.rest), bytes].concat();
        let mut left = &all[..];
        loop {
            let kind = if self.arriving.is_some() { Kind::Push } else { self.kind(left, dialogue) };
            let taken = match kind {
                Kind::TooShort => break,
                Kind::Reply => self.take_reply(left, dialogue)?,
                Kind::Push => self.take_pushed(left, port, dialogue, pushes)?,
            };
            left = &left[taken..];
            if left.is_empty() {
                break;
            }
        }
        self.rest = left.to_vec();
        Ok(())
    }

    fn kind(&self, bytes: &[u8], dialogue: &Dialogue) -> Kind {
        let body = bytes.get(dialogue.prefix..).unwrap_or_default();
        match body.first() {
            _ if !dialogue.begins_reply(self.replies) && !bytes.is_empty() => Kind::Reply,
            None => Kind::TooShort,
            Some(&first) if first != dialogue.mark => Kind::Reply,
            Some(_) if body.len() < HEAD => Kind::TooShort,
            Some(_) => Kind::Push,
        }
    }

    /// The next bytes of the replies, up to where something may have been pushed.
    fn take_reply(&mut self, bytes: &[u8], dialogue: &Dialogue) -> Result<usize, String> {
        let most = match dialogue.reply_end(self.replies) {
            Some(end) => end - self.replies,
            None => bytes.iter().position(|&byte| byte == dialogue.mark).unwrap_or(usize::MAX),
        };
        let taken = &bytes[..bytes.len().min(most)];
        let expected = dialogue.replies.get(self.replies..self.replies + taken.len());
        if expected != Some(taken) {
            return Err(format!("wrong bytes after {} right ones: {taken:?}", self.replies));
        }
        self.replies += taken.len();
        Ok(taken.len())
    }

    /// The next bytes of a pushed message, which must be meant for this client, be whole and
    /// follow what its sender sent before.
    fn take_pushed(
        &mut self,
        bytes: &[u8],
        port: u16,
        dialogue: &Dialogue,
        pushes: &Pushes,
    ) -> Result<usize, String> {
        let (sent, begun) = match self.arriving.take() {
            Some(arriving) => arriving,
            None => {
                let sent = pushes.find(&bytes[dialogue.prefix..]).ok_or("nobody pushed this")?;
                self.check_pushed(&sent, port, dialogue)?;
                (sent, 0)
            }
        };
        let wanted = &sent.bytes[begun..];
        let count = wanted.len().min(bytes.len());
        if wanted[..count] != bytes[..count] {
            return Err(format!("{:?} is not whole: {:?}", sent.name(), &bytes[..count]));
        }
        match count < wanted.len() {
            true => self.arriving = Some((sent, begun + count)),
            false => self.pushed.push(sent.name()),
        }
        Ok(count)
    }

    fn check_pushed(&self, sent: &Sent, port: u16, dialogue: &Dialogue) -> Result<(), String> {
        let (sender, number) = sent.name();
        let overtakes = dialogue.replies_in(self.replies) < sent.behind && sender == port;
        let is_late = self.pushed.iter().any(|&(other, later)| other == sender && later >= number);
        match sent.reaches.contains(&port) {
            false => Err(format!("{:?} is meant for {:?}", sent.name(), sent.reaches)),
            _ if overtakes => Err(format!("{:?} overtook a reply", sent.name())),
            _ if is_late => Err(format!("{:?} comes out of order or twice", sent.name())),
            true => Ok(()),
        }
    }

    /// Which of the messages that were sent to it by name did not arrive.
    pub(super) fn missing<'a>(&self, reaching: &'a [Sent]) -> impl Iterator<Item = &'a Sent> {
        reaching.iter().filter(|sent| sent.is_named && !self.pushed.contains(&sent.name()))
    }

    /// Checks that of each sender's messages the first arrived and none between, as it must
    /// be if none was dropped.
    pub(super) fn check_no_gaps(&self, reaching: &[Sent]) -> Result<(), String> {
        for sent in reaching {
            let (sender, number) = sent.name();
            let is_missing = !self.pushed.contains(&sent.name());
            if is_missing && self.pushed.iter().any(|&(it, later)| it == sender && later > number) {
                return Err(format!("{:?} is missing", sent.name()));
            }
        }
        Ok(())
    }
}
