//! The servers that are compared: this project's with its variants, and the others.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shape::Shape;
use crate::target::{self, SERVER};

/// The others, and what each is made of.
const PEERS: [(&str, &str); 12] = [
    ("floor", "raw epoll, one read and one write"),
    ("tokio", "a task per connection"),
    ("mio", "an event loop by hand"),
    ("monoio", "io_uring"),
    ("compio", "io_uring"),
    ("smol", "a task per connection"),
    ("may", "a coroutine per connection"),
    ("std", "a thread per connection"),
    ("go", "a goroutine per connection"),
    ("asio", "C++"),
    ("libuv", "C"),
    ("libevent", "C"),
];

/// This project's server with other flags, and the groups of shapes it runs in then.
const VARIANTS: [(&str, &[&str], &[&str]); 5] = [
    ("ours-len32", &["--framing", "len32"], &["A"]),
    ("ours-w1", &["--workers", "1"], &["A", "hop"]),
    ("ours-w4", &["--workers", "4"], &["A", "hop"]),
    ("ours-log", &[], &["F"]),
    ("ours-busy", &[BUSY], &["A", "B"]),
];

/// The servers that are measured with every number of threads.
const EVERYWHERE: [&str; 5] = ["ours", "floor", "tokio", "smol", "go"];

/// A flag that not every version has.
const BUSY: &str = "--busy-poll";

/// One server, with all its flags but the address and the number of threads.
#[derive(Debug, Clone)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    program: PathBuf,
    flags: Vec<String>,
    /// The only groups of shapes it runs in, if it is a variant.
    only: Option<&'static [&'static str]>,
}

impl Contender {
    fn ours(name: &'static str, flags: Vec<String>, only: Option<&'static [&'static str]>) -> Self {
        Contender { name, program: target::path(SERVER), flags, only }
    }

    fn peer(name: &'static str, folder: &Path) -> Contender {
        let program = folder.join(format!("peer-{name}"));
        Contender { name, program, flags: Vec::new(), only: None }
    }

    /// Returns whether it is this project's.
    pub(crate) fn is_ours(&self) -> bool {
        is_ours(self.name)
    }

    pub(crate) fn is_framed(&self) -> bool {
        self.flags.iter().any(|flag| flag == "len32")
    }

    pub(crate) fn runs_in(&self, shape: &Shape) -> bool {
        match (shape.group, self.only) {
            (group, Some(groups)) => groups.contains(&group),
            ("hop", None) => self.name == "ours",
            // All of them with few threads and with many, and some with each number.
            ("seed", None) if [2, 32].contains(&shape.threads) => true,
            ("seed" | "threads", None) => EVERYWHERE.contains(&self.name),
            _ => true,
        }
    }

    /// The words that start it.
    pub(crate) fn words(&self, port: u16, threads: usize) -> Vec<String> {
        let program = self.program.to_string_lossy().into_owned();
        let mut words = vec![program, "127.0.0.1".to_owned(), port.to_string()];
        if self.is_ours() {
            let log = target::output("server.log");
            words.extend(["--log-file".to_owned(), log, "--io-threads".to_owned()]);
        }
        words.push(threads.to_string());
        words.extend(self.flags.iter().cloned());
        words
    }

    /// What `words` is to be run with. The others log no connections, so ours logs them only
    /// where that is what is measured.
    pub(crate) fn prepare(&self, command: &mut Command) {
        command.env("RUST_LOG", if self.name == "ours-log" { "info" } else { "warn" });
    }
}

pub(crate) fn is_ours(name: &str) -> bool {
    name == "ours" || name.starts_with("ours-")
}

/// Returns whether there is a server or a family of this name, built or not.
pub(crate) fn is_known(name: &str) -> bool {
    let variants = VARIANTS.iter().map(|variant| variant.0);
    name == "ours" || PEERS.iter().map(|peer| peer.0).chain(variants).any(|it| it == name)
}

/// All servers that are built, and the names of those that are not.
pub(crate) fn all(folder: &Path, help: &str) -> (Vec<Contender>, Vec<&'static str>) {
    let (there, missing): (Vec<_>, Vec<_>) = PEERS
        .iter()
        .map(|&(name, _)| Contender::peer(name, folder))
        .partition(|peer| peer.program.exists());
    let mut all = vec![Contender::ours("ours", Vec::new(), None)];
    for (name, flags, groups) in VARIANTS {
        if let Some(flags) = understood(flags, help) {
            all.push(Contender::ours(name, flags, Some(groups)));
        }
    }
    all.extend(there);
    (all, missing.iter().map(|peer| peer.name).collect())
}

/// The flags of a variant, or `None` if this version of the server does not have them.
fn understood(flags: &[&str], help: &str) -> Option<Vec<String>> {
    let mut words: Vec<String> = flags.iter().map(ToString::to_string).collect();
    if flags == [BUSY] {
        let line = help.lines().find(|line| line.contains(BUSY))?;
        // If it takes a value: one that is longer than any reply takes here.
        words.extend(line.contains('<').then(|| "50us".to_owned()));
    }
    Some(words)
}

/// What a server is made of.
pub(crate) fn kind(name: &str) -> &'static str {
    let peer = PEERS.iter().find(|peer| peer.0 == name);
    match (name, peer) {
        (_, Some(peer)) => peer.1,
        ("ours-len32", _) => "with length-prefixed messages",
        ("ours-w1", _) => "with one worker",
        ("ours-w4", _) => "with four workers",
        ("ours-log", _) => "with connect and close lines in the log",
        ("ours-busy", _) => "that busy-polls before it sleeps",
        _ => "this project",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_that_the_server_does_not_have_makes_no_variant() {
        let names = |help| -> Vec<_> {
            let (all, _) = all(Path::new("/nowhere"), help);
            all.iter().map(|contender| contender.name).collect()
        };
        assert!(!names("--workers <N>").contains(&"ours-busy"));
        assert!(names("      --busy-poll <DUR>\n").contains(&"ours-busy"));
        assert_eq!(understood(&[BUSY], "--busy-poll").map(|it| it.len()), Some(1));
        assert_eq!(understood(&[BUSY], "--busy-poll <DUR>").map(|it| it.len()), Some(2));
    }

    #[test]
    fn what_is_not_built_is_missing() {
        let (_, missing) = all(Path::new("/nowhere"), "");
        assert_eq!(missing.len(), PEERS.len());
    }
}
