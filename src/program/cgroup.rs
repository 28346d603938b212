//! The control groups (cgroups) that this process is in, of version 1 or 2.

use std::path::{Path, PathBuf};

use crate::program::proc_file::{field, number, text};

const TOP: &str = "sys/fs/cgroup";

/// Returns how many more bytes of memory the control groups of this process let it use: what the
/// one that has the least has left. `None` if none has a limit, or none can be read.
pub fn memory_left() -> Option<u64> {
    memory_left_at(Path::new("/"))
}

fn memory_left_at(root: &Path) -> Option<u64> {
    folders(root, "memory").iter().filter_map(|folder| memory_left_in(folder)).min()
}

/// What a control group has left. The file names and the field are those of version 2, or else
/// those of version 1.
fn memory_left_in(folder: &Path) -> Option<u64> {
    let first = |names: [&str; 2]| names.iter().find_map(|name| number(folder.join(name)));
    let limit = first(["memory.max", "memory.limit_in_bytes"])?;
    let used = first(["memory.current", "memory.usage_in_bytes"]).unwrap_or(0);
    let stat = text(folder.join("memory.stat"));
    let mut names = ["total_inactive_file ", "inactive_file "].iter();
    let cache = names.find_map(|name| field(&stat, name)?.parse().ok()).unwrap_or(0);
    // The kernel drops this part of its cache when memory is short.
    Some(limit.saturating_sub(used.saturating_sub(cache)))
}

/// Returns how many more threads and processes the control groups of this process let it start.
/// `None` if none has a limit, or none can be read.
pub fn pids_left() -> Option<u64> {
    let folders = folders(Path::new("/"), "pids");
    folders
        .iter()
        .filter_map(|folder| pids(folder))
        .map(|(most, used)| most.saturating_sub(used))
        .min()
}

/// How many threads and processes a control group may have, and how many it has, if it has a
/// limit.
pub(crate) fn pids(folder: &Path) -> Option<(u64, u64)> {
    Some((number(folder.join("pids.max"))?, number(folder.join("pids.current"))?))
}

/// Returns the folders of the control groups by which a controller limits this process: of its
/// own and of those around it.
pub(crate) fn folders(root: &Path, controller: &str) -> Vec<PathBuf> {
    let own = text(root.join("proc/self/cgroup"));
    let own: Vec<_> = own.lines().filter_map(|line| folder(line, controller)).collect();
    // A container may see its own control group at the top, and another path in `/proc`.
    let all = own.iter().flat_map(|own| own.ancestors()).chain([Path::new(TOP)]);
    all.filter(|folder| folder.starts_with(TOP)).map(|folder| root.join(folder)).collect()
}

/// The folder of a control group, from its line in `/proc/self/cgroup`.
fn folder(line: &str, controller: &str) -> Option<PathBuf> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
    match controllers {
        "" => Some(Path::new(TOP).join(path)),
        list if list.split(',').any(|it| it == controller) => {
            Some(Path::new(TOP).join(controller).join(path))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const VERSION_2: [&str; 4] = ["0::/a/b", "", "max", "current"];
    const VERSION_1: [&str; 4] =
        ["4:cpu,memory:/a/b", "memory", "limit_in_bytes", "usage_in_bytes"];

    #[test]
    fn what_is_left_is_the_least_of_all_groups_and_counts_the_cache() {
        let root = std::env::temp_dir().join(format!("cgroup-{}", std::process::id()));
        for [own, top, limit, used] in [VERSION_2, VERSION_1] {
            let write = |folder: &str, name: &str, text: &str| {
                let folder = root.join(folder);
                fs::create_dir_all(&folder).expect("a folder");
                fs::write(folder.join(name), text).expect("a file");
            };
            let group = format!("{TOP}/{top}/a");
            let (limit, used) = (format!("memory.{limit}"), format!("memory.{used}"));
            write("proc/self", "cgroup", &format!("8:pids:/other\n{own}\n"));
            assert_eq!(memory_left_at(&root), None);
            write(&format!("{group}/b"), &limit, "9000");
            assert_eq!(memory_left_at(&root), Some(9000));
            write(&group, &limit, "5000\n");
            write(&group, &used, "4000\n");
            assert_eq!(memory_left_at(&root), Some(1000));
            write(&group, "memory.stat", "anon 1\ninactive_file 700\nactive_file 50\n");
            assert_eq!(memory_left_at(&root), Some(1700));
            write(&format!("{group}/b"), &used, "8500");
            assert_eq!(memory_left_at(&root), Some(500));
            write(&format!("{group}/b"), &limit, "max");
            write(&group, &used, "9999");
            assert_eq!(memory_left_at(&root), Some(0));
            fs::remove_dir_all(&root).expect("it is removed");
        }
    }
}
