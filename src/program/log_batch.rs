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

/// Lines that are written together, and how far that is.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
    written: usize,
}

impl Batch {
    /// Formats a line. Only lines other than `info` carry their level.
    pub(crate) fn push(&mut self, line: &Line) {
        self.push_uncounted(line);
        self.ends.push(self.bytes.len());
    }

    /// As [`push`](Self::push), for a line that is not among those that were logged.
    pub(crate) fn push_uncounted(&mut self, line: &Line) {
        let at = DateTime::<Local>::from(line.at).format("%Y-%m-%d %H:%M:%S%.3f");
        let level = match line.level {
            Level::Info => String::new(),
            level => format!("{level} "),
        };
        // Writing to memory cannot fail.
        let _ = writeln!(self.bytes, "{at} {level}{}", line.text);
    }

    /// Ends the line that is the last one in the file, before all others.
    pub(crate) fn break_line(&mut self) {
        self.bytes.push(b'\n');
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

    /// Returns how many lines are not written, or only in part.
    pub(crate) fn lines_left(&self) -> usize {
        self.ends.iter().filter(|&&end| end > self.written).count()
    }

    /// Has the line that is written in part be written whole, to another file.
    pub(crate) fn rewind(&mut self) {
        let whole = self.ends.iter().rfind(|&&end| end <= self.written);
        self.written = whole.copied().unwrap_or(0);
    }
}
