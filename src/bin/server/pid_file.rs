//! The file that holds the number of the server's process, and a lock on it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use reactor_server::program::stream::identity;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A file that this process has locked. Dropped, it is removed.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    file: File,
}

/// Longer than any number of a process, with its line break.
const LONGEST: u64 = 32;

impl PidFile {
    /// Creates the file, or takes over one that nobody has locked, and writes the number of this
    /// process to it.
    ///
    /// # Errors
    /// Another server has it, or it is no such file, and is left as it is; or it cannot be written.
    pub(crate) fn take(path: &Path) -> anyhow::Result<PidFile> {
        let shown = path.display();
        loop {
            let file = OpenOptions::new()
                .custom_flags(libc::O_NOFOLLOW)
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path);
            let file = file.with_context(|| format!("cannot open the pid file {shown}"))?;
            let metadata = file.metadata()?;
            ensure!(metadata.is_file(), "{shown} is no regular file, and so no pid file");
            let mut text = String::new();
            let is_text = (&file).take(LONGEST).read_to_string(&mut text).is_ok();
            let pid = text.trim();
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) if pid.is_empty() => {
                    bail!("another server has the pid file {shown}")
                }
                Err(Errno::WOULDBLOCK) => {
                    bail!("another server, process {pid}, has the pid file {shown}")
                }
                Err(error) => {
                    let error = io::Error::from(error);
                    return Err(error).with_context(|| format!("cannot lock the pid file {shown}"));
                }
            }
            let is_ours = is_text && pid.bytes().all(|byte| byte.is_ascii_digit());
            ensure!(is_ours, "{shown} holds something else than the number of a process");
            let mut taken = PidFile { path: path.to_owned(), file };
            // Its last owner may have removed it since it was opened.
            if !taken.is_at_its_path() {
                continue;
            }
            taken.write().with_context(|| format!("cannot write the pid file {shown}"))?;
            return Ok(taken);
        }
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(format!("{}\n", std::process::id()).as_bytes())
    }

    fn is_at_its_path(&self) -> bool {
        let (Ok(own), Ok(there)) = (self.file.metadata(), fs::metadata(&self.path)) else {
            return false;
        };
        identity(&own) == identity(&there)
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Another file may be there by now.
        if self.is_at_its_path() {
            let _ = fs::remove_file(&self.path);
        }
    }
}
