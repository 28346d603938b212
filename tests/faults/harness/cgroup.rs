//! A memory cgroup of its own for a server, of either version.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::harness::row::Skip;
use crate::harness::server::within;

/// A group that is removed when it is dropped, which must be after its server.
pub(crate) struct Cgroup {
    folder: PathBuf,
    files: &'static Files,
}

/// The names of its files.
struct Files {
    limit: &'static str,
    peak: &'static str,
    /// Where a line counts the processes that were killed.
    kills: &'static str,
}

const V1: Files = Files {
    limit: "memory.limit_in_bytes",
    peak: "memory.max_usage_in_bytes",
    kills: "memory.oom_control",
};
const V2: Files = Files { limit: "memory.max", peak: "memory.peak", kills: "memory.events" };

impl Cgroup {
    /// Skips the row where there can be none.
    pub(crate) fn with_memory(bytes: u64) -> Result<Cgroup> {
        let mut why = "no cgroup has a memory controller".to_owned();
        for (parent, files) in parents() {
            let folder = parent.join(name());
            match make(&folder, files, bytes) {
                Ok(()) => return Ok(Cgroup { folder, files }),
                Err(error) => why = format!("no memory cgroup: {error:#}"),
            }
            let _ = fs::remove_dir(&folder);
        }
        Err(Skip(why).into())
    }

    /// A command that starts another inside: puts itself there first.
    pub(crate) fn wrapper(&self) -> [String; 4] {
        let procs = self.folder.join("cgroup.procs");
        let script = format!("echo $$ >'{}' && exec \"$@\"", procs.display());
        ["sh".into(), "-c".into(), script, "sh".into()]
    }

    /// The most bytes that were in use at once.
    pub(crate) fn peak(&self) -> Result<u64> {
        let text = fs::read_to_string(self.folder.join(self.files.peak))?;
        text.trim().parse().context("no number")
    }

    /// How many processes were killed because memory ran out.
    pub(crate) fn kills(&self) -> Result<u64> {
        let text = fs::read_to_string(self.folder.join(self.files.kills))?;
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.context("no count of kills")?.trim().parse().context("no number")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

/// Removes the group of a harness that ends before its row does.
pub(crate) fn remove_left() {
    parents().iter().for_each(|(parent, _)| remove(&parent.join(name())));
}

fn remove(folder: &Path) {
    // Killed processes leave it a little later.
    let _ = within(Duration::from_secs(5), "it is empty", || {
        Ok(!folder.exists() || fs::remove_dir(folder).is_ok())
    });
}

/// There is one at a time.
fn name() -> String {
    format!("faults-{}", std::process::id())
}

fn make(folder: &Path, files: &Files, bytes: u64) -> Result<()> {
    fs::create_dir(folder)?;
    fs::write(folder.join(files.limit), bytes.to_string())?;
    // Swapping would hide what is used; where there is no swap there is no such file.
    let _ = fs::write(folder.join("memory.swap.max"), "0");
    let _ = fs::write(folder.join("memory.swappiness"), "0");
    Ok(())
}

/// Where a group may be made: below our own, or else below the root.
fn parents() -> Vec<(PathBuf, &'static Files)> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut parents = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, files) = match controllers {
            "" => ("/sys/fs/cgroup", &V2),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", &V1)
            }
            _ => continue,
        };
        let below = |path: &str| Path::new(root).join(path.trim_start_matches('/'));
        parents.extend([(below(path), files), (below(""), files)]);
    }
    parents
}
