//! Small pipes, with a name or for writers that do not block.

use std::fs::File;
use std::io::{PipeReader, PipeWriter};
use std::path::PathBuf;
use std::process::Command;

use rustix::io::{ioctl_fionbio, ioctl_fionread};
use rustix::pipe::fcntl_setpipe_size;

use super::{eventually, temporary};
use crate::small_pipe::{SIZE, small_pipe};

/// A pipe of one page whose writers do not block, as other programs may leave it.
pub(crate) fn non_blocking_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = small_pipe().expect("a pipe");
    ioctl_fionbio(&writer, true).expect("non-blocking");
    (reader, writer)
}

/// A named pipe of one page: its path, and both of its ends.
pub(crate) fn named_pipe(name: &str) -> (PathBuf, File) {
    let path = temporary(name);
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
    let ends = File::options().read(true).write(true).open(&path).expect("a pipe");
    fcntl_setpipe_size(&ends, SIZE).expect("a small pipe");
    (path, ends)
}

/// Waits until a small pipe holds something: a page that is in use takes no other write.
pub(crate) fn wait_until_full(reader: &PipeReader) {
    eventually("a full pipe", || ioctl_fionread(reader).expect("a count") > 0);
}
