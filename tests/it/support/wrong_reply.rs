//! Runs of the client with one wrong reply in each.

use std::sync::{Arc, Mutex};

use super::client::{JsonReport, run_json};
use super::fake_server::{Place, Random, Wire, answering};

pub(crate) const SEEDS: u64 = 20;
pub(crate) const MESSAGES: usize = 20;

/// The flags that decide how the client sends.
pub(crate) const LOOPS: [&[&str]; 4] =
    [&[], &["--rate", "5k"], &["--reconnect-every", "3"], &["--threads", "2"]];

/// One run of the client, with one wrong reply.
pub(crate) struct Case {
    pub(crate) connections: usize,
    pub(crate) random: Random,
    pub(crate) wire: Wire,
    pub(crate) size: usize,
    pub(crate) depth: usize,
    pub(crate) flags: Vec<&'static str>,
    /// The message that gets the wrong reply.
    pub(crate) index: usize,
}

impl Case {
    pub(crate) fn new(seed: u64, wires: &[&str], sizes: &[usize]) -> Case {
        let mut random = Random(seed);
        let size = random.pick(sizes);
        let wire = match random.pick(wires) {
            "raw" => Wire::Raw(size),
            "len32" => Wire::Len32,
            _ => Wire::Line,
        };
        let (depth, flags) = (random.pick(&[1, 4]), random.pick(&LOOPS).to_vec());
        let index = random.below(MESSAGES);
        Case { connections: 1, random, wire, size, depth, flags, index }
    }

    /// Runs the client against a server that answers like this.
    pub(crate) fn run(
        &self,
        answer: impl Fn(Place, Vec<u8>) -> Vec<u8> + Send + Sync + 'static,
        more: &[&str],
    ) -> JsonReport {
        let (size, depth) = (self.size.to_string(), self.depth.to_string());
        let (connections, messages) = (self.connections.to_string(), MESSAGES.to_string());
        let flags = ["--framing", self.wire.name(), "-s", &size, "--pipeline", &depth];
        let flags =
            [&["-c", &connections, "-n", &messages], &flags[..], &self.flags, more].concat();
        run_json(answering(self.wire, answer), &flags)
    }

    /// Runs it against a server that changes one reply. Returns the right reply, too, and
    /// the wrong one.
    pub(crate) fn run_with(
        &mut self,
        change: Change,
        more: &[&str],
    ) -> (JsonReport, Vec<u8>, Vec<u8>) {
        let random = Mutex::new(Random(self.random.below(usize::MAX) as u64));
        let (wire, index) = (self.wire, self.index);
        let note = Arc::new(Mutex::new((Vec::new(), Vec::new())));
        let both = Arc::clone(&note);
        let answer = move |place: Place, message: Vec<u8>| {
            if place.index != index {
                return message;
            }
            let wrong = change(&mut random.lock().expect("no panic"), wire, message.clone());
            *both.lock().expect("no panic") = (message, wrong.clone());
            wrong
        };
        let report = self.run(answer, more);
        let (right, wrong) = std::mem::take(&mut *note.lock().expect("no panic"));
        assert_ne!(right, wrong, "the reply is not changed");
        (report, right, wrong)
    }

    /// The complaint about a reply that is wrong.
    pub(crate) fn difference(&self, index: usize, right: &[u8], wrong: &[u8]) -> String {
        let body = |message: &[u8]| message[self.wire.head()..].to_vec();
        let (right, wrong) = (body(right), body(wrong));
        let at = right.iter().zip(&wrong).position(|(a, b)| a != b).expect("a difference");
        let end = self.size.min(at + 16);
        let (right, wrong) = (hex(&right[at..end]), hex(&wrong[at..end]));
        format!("wrong bytes: reply {index} differs at byte {at}: expected {right}, got {wrong}")
    }
}

pub(crate) type Change = fn(&mut Random, Wire, Vec<u8>) -> Vec<u8>;

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
