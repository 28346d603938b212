//! The lines of a file.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use reactor_server::program::stream::Stream;

use super::line::{self, Line};

/// The lines of a file, each parsed.
#[derive(Debug)]
pub(super) struct Lines {
    file: BufReader<Stream>,
    /// Its memory is used for each line.
    line: Vec<u8>,
}

/// A line that is longer is no event: the server writes none of more than 300 bytes.
const LONGEST: u64 = 4096;

impl Lines {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn open(path: &Path) -> io::Result<Lines> {
        let file = BufReader::with_capacity(256 * 1024, Stream::open(path)?);
        Ok(Lines { file, line: Vec::new() })
    }

    /// The bytes that the file begins with, as long as no line was read.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn start(&mut self) -> io::Result<&[u8]> {
        self.file.fill_buf()
    }

    /// Reads the next line, and parses it. `None` is the end of the file, `Some(None)` a line
    /// that concerns no connection.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn next(&mut self) -> io::Result<Option<Option<Line>>> {
        self.line.clear();
        let length = (&mut self.file).take(LONGEST).read_until(b'\n', &mut self.line)?;
        if length as u64 == LONGEST && !self.line.ends_with(b"\n") {
            self.file.skip_until(b'\n')?;
            return Ok(Some(None));
        }
        Ok((length > 0).then(|| line::parse(&self.line)))
    }
}
