//! What connections need of a machine, and whether it is there.

use crate::program::proc_file::{number, numbers};

/// A resource that connections need.
#[derive(Debug, Default)]
pub struct Need {
    /// What it is, in a few words.
    pub what: &'static str,
    /// How much of it is needed.
    pub needed: u64,
    /// How much there is; `None` if it cannot be read.
    pub available: Option<u64>,
    /// What to do if there is too little of it.
    pub fix: String,
    /// On which condition it suffices, if on any.
    pub provided: Option<String>,
}

/// Bytes of the kernel for one end of a connection that is idle. Measured with
/// `scripts/million.sh`.
pub const KERNEL_BYTES: u64 = 5_200;

impl Need {
    /// Returns whether there is enough. What is unknown is no reason to warn.
    pub fn is_met(&self) -> bool {
        self.available.is_none_or(|available| self.needed <= available)
    }

    /// One line of a table, with its line break.
    pub fn line(&self) -> String {
        let Need { what, needed, available, fix, provided } = self;
        let result = match available {
            None => "cannot be read here".to_owned(),
            Some(_) if self.is_met() => match provided {
                Some(provided) => format!("fits, provided that {provided}"),
                None => "fits".to_owned(),
            },
            Some(_) => format!("short: {fix}"),
        };
        let available = available.map_or("unknown".to_owned(), |available| available.to_string());
        format!("{what:<28} {needed:>12} of {available:>12}  {result}\n")
    }

    /// A setting of the kernel, by its name for `sysctl`.
    pub fn setting(what: &'static str, name: &str, needed: u64) -> Need {
        Need {
            what,
            needed,
            available: number(format!("/proc/sys/{}", name.replace('.', "/"))),
            fix: format!("sysctl {name}={needed}"),
            ..Need::default()
        }
    }

    /// Files that all processes of the machine have open.
    pub fn open_files(needed: u64) -> Need {
        let (used, most) = match numbers("/proc/sys/fs/file-nr")[..] {
            [used, _, most, ..] => (used, Some(most)),
            _ => (0, None),
        };
        Need {
            what: "open files of the machine",
            needed,
            available: most.map(|most| most.saturating_sub(used)),
            fix: format!("sysctl fs.file-max={}", used.saturating_add(needed)),
            ..Need::default()
        }
    }

    /// Connections that the kernel tracks; `None` if it does not, as it does for some firewalls.
    pub fn conntrack(needed: u64) -> Option<Need> {
        let folder = "/proc/sys/net/netfilter/nf_conntrack";
        let most = number(format!("{folder}_max"))?;
        let used = number(format!("{folder}_count")).filter(|&used| used > 0)?;
        Some(Need {
            what: "tracked connections",
            needed,
            available: Some(most.saturating_sub(used)),
            fix: format!("sysctl net.netfilter.nf_conntrack_max={}", used.saturating_add(needed)),
            ..Need::default()
        })
    }
}
