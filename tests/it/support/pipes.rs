//! Pipes as parents leave them: small, and non-blocking for those that write.

use std::io::{PipeReader, PipeWriter, pipe};

use rustix::io::{ioctl_fionbio, ioctl_fionread};
use rustix::pipe::fcntl_setpipe_size;

use super::eventually;

/// A pipe of one page whose writers do not block.
pub(crate) fn small_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = pipe().expect("a pipe");
    fcntl_setpipe_size(&writer, 4096).expect("a small pipe");
    ioctl_fionbio(&writer, true).expect("non-blocking");
    (reader, writer)
}

/// Waits until a small pipe holds something: a page that is in use takes no other write.
pub(crate) fn wait_until_full(reader: &PipeReader) {
    eventually("a full pipe", || ioctl_fionread(reader).expect("a count") > 0);
}
