//! Which file a path leads to, however it is spelled.

use std::fs::{self, File, Metadata};
use std::path::Path;

use crate::net::sys;
use crate::program::stream::{Dash, descriptor_named, identity};

/// A regular file. Every path, link and descriptor that leads to it has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId((u64, u64));

impl FileId {
    /// Finds the regular file that a path leads to, if there is one; `-` is this descriptor.
    /// Nothing is opened.
    pub fn of(path: &Path, dash: Dash) -> Option<FileId> {
        let metadata = match descriptor_named(path, dash) {
            Some(fd) => File::from(sys::duplicate(fd).ok()?).metadata(),
            None => fs::metadata(path),
        };
        metadata.ok().filter(Metadata::is_file).map(|it| FileId(identity(&it)))
    }
}
