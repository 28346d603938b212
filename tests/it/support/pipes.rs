//! Pipes as parents leave them: small, and non-blocking for those that write.

use std::io::{PipeReader, PipeWriter, pipe};

use rustix::io::{ioctl_fionbio, ioctl_fionread};
use rustix::pipe::fcntl_setpipe_size;

use super::eventually;

/// How many bytes a small pipe holds.
pub(crate) const SMALL: u64 = 4096;

/// A pipe of [`SMALL`] bytes whose writers do not block.
pub(crate) fn small_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = pipe().expect("a pipe");
    fcntl_setpipe_size(&writer, SMALL as usize).expect("a small pipe");
    ioctl_fionbio(&writer, true).expect("non-blocking");
    (reader, writer)
}

/// Waits until a small pipe holds as many bytes as it can.
pub(crate) fn wait_until_full(reader: &PipeReader) {
    eventually("a full pipe", || ioctl_fionread(reader).expect("a count") == SMALL);
}
