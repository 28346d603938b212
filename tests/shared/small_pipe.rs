//! Pipes that are soon full.

use std::io::{PipeReader, PipeWriter, Result, pipe};

/// How many bytes a small pipe holds: one page, which is the least.
pub(crate) const SIZE: usize = 4096;

/// A pipe of one page.
pub(crate) fn small_pipe() -> Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = pipe()?;
    rustix::pipe::fcntl_setpipe_size(&writer, SIZE)?;
    Ok((reader, writer))
}
