//! The CPU time and memory of a process, read from `/proc`.

use anyhow::{Context, ensure};
use procfs::WithCurrentSystemInfo;
use procfs::process::Process;
use reactor_server::program::cpu::time_of_process;
use reactor_server::program::memory;

use crate::report::{BytesPerConnection, Cpu};

/// Reads what a process uses.
#[derive(Debug)]
pub(crate) struct Meter {
    pid: i32,
    /// `None` if `/proc` does not have it.
    process: Option<Process>,
}

/// What a process has used so far, and the memory that it has now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    cpu: Cpu,
    /// Bytes of its own resident memory.
    own: u64,
    /// Bytes of the kernel's objects, sockets among them, of all processes.
    kernel: Option<u64>,
}

impl Meter {
    /// # Errors
    /// There is no such process.
    pub(crate) fn of(pid: i32) -> anyhow::Result<Meter> {
        let process = Process::new(pid).ok();
        // There may be no `/proc`.
        let exists = process.is_some() || time_of_process(pid).is_ok();
        ensure!(exists, "there is no process {pid}");
        Ok(Meter { pid, process })
    }

    pub(crate) fn of_this_process() -> Meter {
        Meter { pid: std::process::id() as i32, process: Process::myself().ok() }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// # Errors
    /// The process has ended, or this user may not read it.
    pub(crate) fn read(&self) -> anyhow::Result<Reading> {
        let stat = self.process()?.stat();
        let stat = stat.with_context(|| format!("cannot read /proc/{}/stat", self.pid))?;
        Ok(Reading {
            cpu: self.cpu(stat.utime as f64, stat.stime as f64)?,
            own: stat.rss_bytes().get(),
            kernel: memory::of_kernel(),
        })
    }

    /// Whether this process and the other may run on the same CPU.
    pub(crate) fn shares_cpus_with(&self, other: &Meter) -> anyhow::Result<bool> {
        let (ours, theirs) = (self.cpus()?, other.cpus()?);
        Ok(ours.iter().any(|&(a, b)| theirs.iter().any(|&(c, d)| a <= d && c <= b)))
    }

    /// The ranges of CPUs that it may use.
    fn cpus(&self) -> anyhow::Result<Vec<(u32, u32)>> {
        let status = self.process()?.status()?;
        status.cpus_allowed_list.context("the kernel does not say which CPUs a process may use")
    }

    fn process(&self) -> anyhow::Result<&Process> {
        self.process.as_ref().with_context(|| format!("there is no /proc/{}", self.pid))
    }

    /// The kernel counts user and system time in hundredths of a second, but their sum in
    /// nanoseconds.
    fn cpu(&self, user: f64, system: f64) -> anyhow::Result<Cpu> {
        let total = time_of_process(self.pid)?.as_secs_f64();
        let share = if user + system > 0.0 { user / (user + system) } else { 0.0 };
        Ok(Cpu { user: total * share, system: total * (1.0 - share) })
    }
}

impl Reading {
    pub(crate) fn has_kernel_memory(&self) -> bool {
        self.kernel.is_some()
    }

    /// The CPU time since an earlier reading.
    pub(crate) fn cpu_since(&self, before: &Reading) -> Cpu {
        Cpu {
            user: (self.cpu.user - before.cpu.user).max(0.0),
            system: (self.cpu.system - before.cpu.system).max(0.0),
        }
    }

    /// The memory added since an earlier reading, per connection.
    pub(crate) fn memory_since(&self, before: &Reading, connections: u64) -> BytesPerConnection {
        let each =
            |now: u64, then: u64| now.saturating_sub(then) as f64 / connections.max(1) as f64;
        BytesPerConnection {
            own: Some(each(self.own, before.own)),
            kernel: self.kernel.zip(before.kernel).map(|(now, then)| each(now, then)),
        }
    }
}
