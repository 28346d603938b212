//! The limits that may be the cause of an error, as `/proc` and the cgroups list them.

use std::fmt;
use std::io;
use std::path::Path;

use crate::program::cgroup;
use crate::program::proc_file::{field, number, numbers, text};
use crate::program::thread::NotStarted;

/// Adds the limits that may be the cause to an error that there are no threads or no
/// descriptors. Other errors stay as they are.
pub fn with_limits(error: io::Error) -> io::Error {
    let limits = match (NotStarted::of(&error), error.raw_os_error()) {
        (Some(not_started), _) => limits_of_threads(not_started.wanted() as u64),
        (None, Some(libc::EMFILE)) => Vec::from_iter(limit_of_process("ulimit -n", "open files")),
        (None, Some(libc::ENFILE)) => Vec::from_iter(setting("fs.file-max")),
        _ => Vec::new(),
    };
    let limits: Vec<_> = limits.iter().map(Limit::to_string).collect();
    if limits.is_empty() {
        return error;
    }
    io::Error::new(error.kind(), format!("{error}: {}", limits.join(", ")))
}

/// A limit that is set.
#[derive(Debug)]
struct Limit {
    name: &'static str,
    value: u64,
    /// What else sets it.
    note: &'static str,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}{}", self.name, self.value, self.note)
    }
}

/// How many KiB the standard library gives to the stack of a thread.
const STACK: u64 = 2 * 1024;
/// How many memory mappings a thread has: two stacks and a heap, each with a guard.
const MAPPINGS: u64 = 6;

/// The limits that do not leave room for this many threads, as far as is known.
fn limits_of_threads(wanted: u64) -> Vec<Limit> {
    let status = text("/proc/self/status");
    // The kernel counts the threads of the user in all containers, so how many there are, and
    // whether it is short, is not known here.
    let of_user = limit_of_process("ulimit -u", "processes").filter(|_| !is_exempt(&status));
    let mut limits = Vec::from_iter(limit_of_cgroup(Path::new("/"), wanted));
    let loads = text("/proc/loadavg");
    let all_threads = loads.split([' ', '/']).nth(4).and_then(|text| text.parse().ok());
    let memory = field(&status, "VmSize:").and_then(|size| size.parse().ok());
    let mappings = text("/proc/self/maps").lines().count() as u64;
    let counted = [
        (setting("kernel.threads-max"), all_threads, wanted),
        (setting("kernel.pid_max"), all_threads, wanted),
        (setting("vm.max_map_count"), Some(mappings), wanted * MAPPINGS),
        (limit_of_process("ulimit -v", "address space").map(in_kib), memory, wanted * STACK),
    ];
    limits.extend(counted.into_iter().filter_map(|(limit, used, more)| {
        limit.filter(|limit| used.is_some_and(|used| used + more > limit.value))
    }));
    // Where another limit explains the error, this one would only distract.
    if limits.is_empty() { Vec::from_iter(of_user) } else { limits }
}

fn in_kib(limit: Limit) -> Limit {
    Limit { value: limit.value / 1024, ..limit }
}

/// A limit of this process, unless it is unlimited.
fn limit_of_process(name: &'static str, what: &str) -> Option<Limit> {
    let limits = text("/proc/self/limits");
    let value = field(&limits, &format!("Max {what} "))?.parse().ok()?;
    Some(Limit { name, value, note: "" })
}

/// A setting of the kernel, by its name for `sysctl`.
fn setting(name: &'static str) -> Option<Limit> {
    let value = number(Path::new("/proc/sys").join(name.replace('.', "/")))?;
    Some(Limit { name, value, note: "" })
}

/// Returns whether the process may start more threads than `ulimit -u`. In a user namespace of
/// its own it may not, whatever its capabilities there.
fn is_exempt(status: &str) -> bool {
    const ALL_USERS: [u64; 3] = [0, 0, 4_294_967_295];
    if numbers("/proc/self/uid_map") != ALL_USERS {
        return false;
    }
    const CAP_SYS_ADMIN: u64 = 1 << 21;
    const CAP_SYS_RESOURCE: u64 = 1 << 24;
    let capabilities = field(status, "CapEff:").map(|text| u64::from_str_radix(text, 16));
    matches!(capabilities, Some(Ok(set)) if set & (CAP_SYS_ADMIN | CAP_SYS_RESOURCE) != 0)
}

/// The lowest limit of the cgroup that this process is in, and of those around it, that
/// does not leave room for this many threads.
fn limit_of_cgroup(root: &Path, wanted: u64) -> Option<Limit> {
    let limit_of = |folder: &Path| {
        let (most, used) = cgroup::pids(folder)?;
        (used + wanted > most).then_some(most)
    };
    let folders = cgroup::folders(root, "pids");
    let value = folders.iter().filter_map(|folder| limit_of(folder)).min()?;
    Some(Limit { name: "pids.max", value, note: " (systemd: TasksMax=)" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_error_for_want_of_descriptors_names_their_limit() {
        let error = with_limits(io::Error::from_raw_os_error(libc::EMFILE)).to_string();
        let limit = limit_of_process("ulimit -n", "open files").expect("one is set").value;
        assert_eq!(error, format!("Too many open files (os error 24): ulimit -n is {limit}"));
        let error = with_limits(io::Error::from_raw_os_error(libc::ENFILE)).to_string();
        assert!(error.contains(": fs.file-max is "), "{error}");
    }

    #[test]
    fn only_limits_that_are_short_are_named() {
        let names = |wanted| {
            let limits = limits_of_threads(wanted).into_iter();
            limits.map(|limit| limit.name).filter(|name| *name != "ulimit -u").collect::<Vec<_>>()
        };
        assert!(!names(1).iter().any(|name| name.contains('.')), "{:?}", names(1));
        let many = names(1 << 40);
        assert!(many.contains(&"kernel.threads-max") && many.contains(&"vm.max_map_count"));
    }

    #[test]
    fn the_lowest_limit_of_the_cgroups_around_it_is_named_if_it_is_short() {
        let root = std::env::temp_dir().join(format!("cause-{}", std::process::id()));
        for (own, top) in [("0::/a/b", "sys/fs/cgroup"), ("8:pids:/a/b", "sys/fs/cgroup/pids")] {
            let folder = root.join(top).join("a");
            let write = |path: &Path, text: &str| {
                fs::create_dir_all(path.parent().expect("one")).expect("a folder");
                fs::write(path, text).expect("a file");
            };
            write(&root.join("proc/self/cgroup"), own);
            for (folder, most) in [(folder.clone(), "20"), (folder.join("b"), "max")] {
                write(&folder.join("pids.max"), most);
                write(&folder.join("pids.current"), "9");
            }
            let limit = |wanted| limit_of_cgroup(&root, wanted).map(|limit| limit.to_string());
            assert_eq!(limit(11), None);
            assert_eq!(limit(12).as_deref(), Some("pids.max is 20 (systemd: TasksMax=)"));
        }
        fs::remove_dir_all(root).expect("it is removed");
    }

    #[test]
    fn other_errors_stay_as_they_are() {
        let error = with_limits(io::Error::from_raw_os_error(libc::EACCES));
        assert_eq!(error.raw_os_error(), Some(libc::EACCES));
    }
}
