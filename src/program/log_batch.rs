//! Log lines on their way to the file, whole ones and the part of one that is not written yet.

use std::io::Write;
use std::time::SystemTime;

use chrono::{DateTime, Local};
use log::Level;

/// A line that is not formatted yet.
#[derive(Debug)]
pub(crate) struct Line {
    at: SystemTime,
    level: Level,
    text: Box<str>,
}

/// What the channel and the allocator add to a text.
const OVERHEAD: usize = 64;

impl Line {
    /// A line of now.
    pub(crate) fn new(level: Level, text: String) -> Line {
        Line { at: SystemTime::now(), level, text: text.into_boxed_str() }
    }

    /// How many bytes of memory it takes, about.
    pub(crate) fn size(&self) -> usize {
        self.text.len() + OVERHEAD
    }
}

/// What stands in front of each line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Style {
    /// The time, and the level if it is not `info`.
    #[default]
    Time,
    /// The level as a number, for the journal of systemd, which knows the time.
    Journal,
}

/// Lines that are written together, and how far that is.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    style: Style,
    bytes: Vec<u8>,
    /// Where each line ends, and how many of the lines that were logged it accounts for.
    ends: Vec<(usize, u64)>,
    written: usize,
}

impl Batch {
    pub(crate) fn new(style: Style) -> Batch {
        Batch { style, ..Batch::default() }
    }

    /// Adds a line that was logged.
    pub(crate) fn push(&mut self, line: &Line) {
        self.push_for(line, 1);
    }

    /// Adds a line that reports how many lines were dropped.
    pub(crate) fn push_dropped(&mut self, count: u64) {
        let text = format!("{count} log lines were dropped");
        self.push_for(&Line::new(Level::Warn, text), count);
    }

    fn push_for(&mut self, line: &Line, accounts_for: u64) {
        let front = match self.style {
            Style::Time => time_and_level(line),
            Style::Journal => format!("<{}>", severity(line.level)),
        };
        for text in line.text.split('\n') {
            // Writing to memory cannot fail.
            let _ = writeln!(self.bytes, "{front}{text}");
        }
        self.ends.push((self.bytes.len(), accounts_for));
    }

    pub(crate) fn is_written(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is not written yet.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// That many more bytes are written.
    pub(crate) fn advance(&mut self, count: usize) {
        self.written += count;
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.ends.clear();
            self.written = 0;
        }
    }

    /// Returns how many of the lines that were logged are neither written whole nor reported
    /// as dropped in a line that is.
    pub(crate) fn unaccounted(&self) -> u64 {
        self.ends.iter().filter(|(end, _)| *end > self.written).map(|(_, lines)| lines).sum()
    }

    /// Starts the line that is written in part again, for another file.
    pub(crate) fn rewind(&mut self) {
        let whole = self.ends.iter().rfind(|(end, _)| *end <= self.written);
        self.written = whole.map_or(0, |(end, _)| *end);
    }
}

/// Only lines other than `info` carry their level.
fn time_and_level(line: &Line) -> String {
    let at = DateTime::<Local>::from(line.at).format("%Y-%m-%d %H:%M:%S%.3f");
    match line.level {
        Level::Info => format!("{at} "),
        level => format!("{at} {level} "),
    }
}

/// The severity of a level, as syslog(3) numbers it.
fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The journal takes each line for a message of its own.
    #[test]
    fn each_line_of_a_text_has_its_level() {
        let mut batch = Batch::new(Style::Journal);
        batch.push(&Line::new(Level::Error, "one\ntwo".to_owned()));
        assert_eq!(batch.rest(), b"<3>one\n<3>two\n");
        assert_eq!(batch.unaccounted(), 1);
    }
}
