//! Counts that can be read while a load runs.

use std::iter::Sum;

use crate::net::counter::Counter;

/// What a load has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Connections opened.
    pub opened: u64,
    /// Connections open now.
    pub open: u64,
    /// Replies that count.
    pub messages: u64,
    /// Connections that failed, while opening or later, or received wrong bytes.
    pub errors: u64,
    /// How often there was no local port left.
    pub port_shortages: u64,
}

/// The progress of one generator, which alone writes it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ProgressCounters {
    opened: Counter,
    open: Counter,
    messages: Counter,
    errors: Counter,
    port_shortages: Counter,
}

impl ProgressCounters {
    pub(crate) fn set(&self, progress: Progress) {
        self.opened.set(progress.opened);
        self.open.set(progress.open);
        self.messages.set(progress.messages);
        self.errors.set(progress.errors);
        self.port_shortages.set(progress.port_shortages);
    }

    pub(crate) fn get(&self) -> Progress {
        Progress {
            opened: self.opened.get(),
            open: self.open.get(),
            messages: self.messages.get(),
            errors: self.errors.get(),
            port_shortages: self.port_shortages.get(),
        }
    }
}

impl Sum for Progress {
    fn sum<I: Iterator<Item = Progress>>(all: I) -> Progress {
        all.fold(Progress::default(), |sum, one| Progress {
            opened: sum.opened + one.opened,
            open: sum.open + one.open,
            messages: sum.messages + one.messages,
            errors: sum.errors + one.errors,
            port_shortages: sum.port_shortages + one.port_shortages,
        })
    }
}
