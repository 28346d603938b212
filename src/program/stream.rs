//! Files, pipes, sockets and terminals that a program reads or writes from beginning to end.
//!
//! A descriptor that a program inherited may be non-blocking, because a process that shares
//! it wants it so. A plain write to it fails half-way through. Here it waits, and changes
//! nothing about the descriptor.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, RawFd};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use memchr::memrchr;

use crate::net::sys;
use crate::program::printable::printable;

const STDIN: RawFd = 0;
const STDOUT: RawFd = 1;
const STDERR: RawFd = 2;

/// What the path `-` stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dash {
    /// Standard input, where a file is read.
    Input,
    /// Standard output, where a file is written.
    Output,
}

/// A pipe that can be written to has room for this many bytes, so that a write of no more
/// never blocks.
const PIPE_BUF: usize = 4096;

/// A file, pipe, socket or terminal.
///
/// Where a path is asked for, `-`, `/dev/stdout`, `/dev/fd/3` and links to such names are
/// descriptors of this process. They are duplicated and not opened: that works for sockets
/// too, needs no permission, and truncates nothing.
#[derive(Debug)]
pub struct Stream {
    file: File,
    /// A regular file takes and gives bytes at once, or fails.
    is_regular: bool,
    /// The first write empties the file, so that what was in it stays until there is more.
    replaces: bool,
}

impl Stream {
    /// Opens what a path names for reading; `-` is standard input.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> io::Result<Stream> {
        Stream::named(path, Dash::Input, |path| File::open(path))
    }

    /// Creates the file of this path, or opens it, and replaces what is in it at the first write;
    /// `-` is standard output.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn create(path: &Path) -> io::Result<Stream> {
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(false);
        let mut stream = Stream::named(path, Dash::Output, |path| options.open(path))?;
        stream.replaces = stream.is_regular && !is_descriptor(path);
        Ok(stream)
    }

    /// Opens the file of this path, or creates it, and appends to it; `-` is standard output.
    ///
    /// # Errors
    /// It cannot be opened, or is a named pipe that nobody reads.
    pub fn append(path: &Path) -> io::Result<Stream> {
        let mut options = OpenOptions::new();
        // A terminal must not become the controlling terminal.
        options.create(true).append(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        Stream::named(path, Dash::Output, |path| options.open(path))
    }

    /// Duplicates standard output.
    ///
    /// # Errors
    /// It is closed.
    pub fn stdout() -> io::Result<Stream> {
        Stream::duplicate(STDOUT)
    }

    /// Duplicates standard error. If it was closed, what is written to it is discarded.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn stderr() -> io::Result<Stream> {
        Stream::new(File::from(sys::duplicate(STDERR)?))
    }

    fn named(
        path: &Path,
        dash: Dash,
        open: impl FnOnce(&Path) -> io::Result<File>,
    ) -> io::Result<Stream> {
        match descriptor_named(path, dash) {
            Some(fd) => Stream::duplicate(fd),
            None => Stream::new(open(path)?),
        }
    }

    fn duplicate(fd: RawFd) -> io::Result<Stream> {
        if sys::was_closed_at_start(fd) {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        Stream::new(File::from(sys::duplicate(fd)?))
    }

    fn new(file: File) -> io::Result<Stream> {
        let is_regular = file.metadata()?.is_file();
        Ok(Stream { file, is_regular, replaces: false })
    }

    /// Writes some of the bytes, once there is room. Returns how many: 0 if there is none
    /// within this time. Without a time it waits.
    ///
    /// # Errors
    /// It cannot be written to.
    pub fn write_within(&mut self, bytes: &[u8], time: Option<Duration>) -> io::Result<usize> {
        if std::mem::take(&mut self.replaces) {
            self.file.set_len(0)?;
        }
        if self.is_regular {
            return self.file.write(bytes);
        }
        if !sys::wait_for(self.file.as_fd(), libc::POLLOUT, time)? {
            return Ok(0);
        }
        // Whole lines, so that those of others that write to the same pipe are not inside of them.
        let most = &bytes[..bytes.len().min(PIPE_BUF)];
        let length = memrchr(b'\n', most).map_or(most.len(), |end| end + 1);
        match self.file.write(&most[..length]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            result => result,
        }
    }

    /// Returns whether systemd has what is written here in its journal.
    pub fn is_journal(&self) -> bool {
        let Ok((device, inode)) = self.file.metadata().map(|it| identity(&it)) else {
            return false;
        };
        std::env::var("JOURNAL_STREAM").is_ok_and(|journal| journal == format!("{device}:{inode}"))
    }

    /// Returns whether this is a file, the one of this path, whose last line does not end.
    pub(crate) fn is_cut(&self, path: &Path) -> bool {
        let mut last = [b'\n'];
        let read_last = |file: File| {
            let end = file.metadata()?.len();
            file.read_exact_at(&mut last, end.saturating_sub(1))
        };
        // An empty file, or one that may not be read, is not cut as far as is known.
        self.is_regular && File::open(path).and_then(read_last).is_ok() && last != *b"\n"
    }

    /// Returns whether this is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.file.is_terminal()
    }

    /// Returns whether this is a device such as a terminal or `/dev/null`.
    pub fn is_device(&self) -> bool {
        self.file.metadata().is_ok_and(|it| it.file_type().is_char_device())
    }

    /// Returns whether both lead to the same file, pipe, socket or terminal.
    pub fn is_same(&self, other: &Stream) -> bool {
        let of = |stream: &Stream| stream.file.metadata().map(|it| identity(&it)).ok();
        of(self) == of(other)
    }
}

/// The numbers of a file: of its device, and of its inode there. Whatever leads to the file has
/// the same.
pub fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.write_within(bytes, None)? {
                0 if !bytes.is_empty() => {}
                count => return Ok(count),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_regular {
            return self.file.read(buffer);
        }
        loop {
            sys::wait_for(self.file.as_fd(), libc::POLLIN, None)?;
            match self.file.read(buffer) {
                // Another process that shares it was faster.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }
}

/// Returns whether a path names a descriptor of this process.
pub fn is_descriptor(path: &Path) -> bool {
    descriptor_named(path, Dash::Output).is_some()
}

/// Returns the descriptor that a path names, if need be through links, as where a log file is
/// a link to `/dev/stdout`.
pub(super) fn descriptor_named(path: &Path, dash: Dash) -> Option<RawFd> {
    /// The kernel follows no more.
    const LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match &*path.to_string_lossy() {
            "-" if dash == Dash::Input => return Some(STDIN),
            "-" => return Some(STDOUT),
            "/dev/stdin" => return Some(STDIN),
            "/dev/stdout" => return Some(STDOUT),
            "/dev/stderr" => return Some(STDERR),
            name => {
                let own = format!("/proc/{}/fd/", std::process::id());
                let folders = ["/dev/fd/", "/proc/self/fd/", "/proc/thread-self/fd/", &own];
                let number = folders.iter().find_map(|folder| name.strip_prefix(folder));
                if let Some(number) = number {
                    return number.parse().ok();
                }
            }
        }
        path = path.parent()?.join(fs::read_link(&path).ok()?);
    }
    None
}

/// Writes a line to standard error, printable whatever it repeats. A failure to do so changes
/// nothing.
pub fn print_error(line: &str) {
    let line = printable(line) + "\n";
    let _ = Stream::stderr().and_then(|mut stderr| stderr.write_all(line.as_bytes()));
}

/// As [`print_error`], but gives up if there is no room within this time.
pub fn print_error_within(line: &str, time: Duration) {
    let line = printable(line) + "\n";
    let _ = Stream::stderr().and_then(|mut it| it.write_within(line.as_bytes(), Some(time)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::thread;

    /// Each byte wakes all of them, and only one of them gets it.
    #[test]
    fn several_readers_of_a_non_blocking_pipe_wait_for_its_end() {
        const BYTES: usize = 5000;
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).expect("a pipe");
        let count = AtomicUsize::new(0);
        let read_all = |reader| -> io::Result<()> {
            let mut stream = Stream::new(File::from(reader))?;
            while stream.read(&mut [0])? > 0 {
                count.fetch_add(1, Relaxed);
            }
            Ok(())
        };
        thread::scope(|scope| {
            let readers = [(); 8].map(|()| {
                let reader = reader.try_clone().expect("another");
                scope.spawn(|| read_all(reader))
            });
            let mut writer = Stream::new(File::from(writer)).expect("a stream");
            for written in 0..BYTES {
                writer.write_all(b"x").expect("there is room");
                while count.load(Relaxed) == written && !readers.iter().all(|it| it.is_finished()) {
                    thread::yield_now();
                }
            }
            drop(writer);
            readers.into_iter().for_each(|it| it.join().expect("no panic").expect("no error"));
        });
        assert_eq!(count.into_inner(), BYTES);
    }
}
