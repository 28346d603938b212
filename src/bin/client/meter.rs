//! The CPU time and memory of a process, read from `/proc` or from the admin page of a server.

use anyhow::{Context, bail, ensure};
use procfs::WithCurrentSystemInfo;
use procfs::process::Process;
use reactor_server::program::cpu::{time_of_process, user_and_system};
use reactor_server::program::memory;

use crate::admin_page::{AdminPage, Figures};
use crate::report::{BytesPerConnection, Cpu};

/// Where the cost of a server is read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum CostSource {
    /// A process on this machine.
    Process(i32),
    /// The admin page of a server.
    Page(AdminPage),
}

/// Reads what a process uses.
#[derive(Debug)]
pub(crate) enum Meter {
    Process(ProcessMeter),
    Page(AdminPage),
}

/// Reads what a process on this machine uses.
#[derive(Debug)]
pub(crate) struct ProcessMeter {
    pid: i32,
    /// `None` if `/proc` does not have it.
    process: Option<Process>,
}

/// What a process has used so far, and the memory that it has now.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    cpu: Cpu,
    /// Bytes of its own resident memory.
    own: Option<u64>,
    /// Bytes of the kernel's objects, sockets among them, of all processes.
    kernel: Option<u64>,
    /// Bytes received by the server, if known.
    received: Option<u64>,
    /// Messages handled by each event loop, if known.
    loops: Vec<u64>,
}

impl Meter {
    /// # Errors
    /// There is no such process, or no admin page that has the CPU time of its server.
    pub(crate) fn of(source: &CostSource) -> anyhow::Result<Meter> {
        match source {
            CostSource::Process(pid) => ProcessMeter::of(*pid).map(Meter::Process),
            CostSource::Page(page) => {
                page.read()?;
                Ok(Meter::Page(page.clone()))
            }
        }
    }

    pub(crate) fn of_this_process() -> Meter {
        let (pid, process) = (std::process::id() as i32, Process::myself().ok());
        Meter::Process(ProcessMeter { pid, process })
    }

    /// What it is read from: a process on this host, or a page.
    pub(crate) fn name(&self, host: &str) -> String {
        match self {
            Meter::Process(process) => format!("{} on {host}", process.pid),
            Meter::Page(page) => page.url().to_owned(),
        }
    }

    /// # Errors
    /// The process has ended, or this user may not read it; or the page does not answer.
    pub(crate) fn read(&self) -> anyhow::Result<Reading> {
        match self {
            Meter::Process(process) => process.read(),
            Meter::Page(page) => {
                let Figures { cpu, resident, received, loops } = page.read()?;
                let kernel = page.is_local.then(memory::of_kernel).flatten();
                Ok(Reading { cpu, own: resident, kernel, received: Some(received), loops })
            }
        }
    }

    /// Whether this process and the other may run on the same CPU.
    ///
    /// # Errors
    /// It is not known of one of them.
    pub(crate) fn shares_cpus_with(&self, other: &Meter) -> anyhow::Result<bool> {
        let (Meter::Process(one), Meter::Process(other)) = (self, other) else {
            bail!("an admin page does not say which CPUs its server may use");
        };
        let (ours, theirs) = (one.cpus()?, other.cpus()?);
        Ok(ours.iter().any(|&(a, b)| theirs.iter().any(|&(c, d)| a <= d && c <= b)))
    }
}

impl ProcessMeter {
    fn of(pid: i32) -> anyhow::Result<ProcessMeter> {
        let process = Process::new(pid).ok();
        // There may be no `/proc`.
        let exists = process.is_some() || time_of_process(pid).is_ok();
        ensure!(exists, "there is no process {pid}");
        Ok(ProcessMeter { pid, process })
    }

    fn read(&self) -> anyhow::Result<Reading> {
        let stat = self.process()?.stat();
        let stat = stat.with_context(|| format!("cannot read /proc/{}/stat", self.pid))?;
        Ok(Reading {
            cpu: self.cpu(stat.utime, stat.stime)?,
            own: Some(stat.rss_bytes().get()),
            kernel: memory::of_kernel(),
            received: None,
            loops: Vec::new(),
        })
    }

    /// The ranges of CPUs that it may use.
    fn cpus(&self) -> anyhow::Result<Vec<(u32, u32)>> {
        let status = self.process()?.status()?;
        status.cpus_allowed_list.context("the kernel does not say which CPUs a process may use")
    }

    fn process(&self) -> anyhow::Result<&Process> {
        self.process.as_ref().with_context(|| format!("there is no /proc/{}", self.pid))
    }

    fn cpu(&self, user_ticks: u64, system_ticks: u64) -> anyhow::Result<Cpu> {
        let total = time_of_process(self.pid)?;
        let (user, system) = user_and_system(total, user_ticks, system_ticks);
        Ok(Cpu { user, system })
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
            own: self.own.zip(before.own).map(|(now, then)| each(now, then)),
            kernel: self.kernel.zip(before.kernel).map(|(now, then)| each(now, then)),
        }
    }

    /// The bytes that the server received since an earlier reading, if known.
    pub(crate) fn received_since(&self, before: &Reading) -> Option<u64> {
        self.received.zip(before.received).map(|(now, then)| now.saturating_sub(then))
    }

    /// The messages of each event loop since an earlier reading, if known.
    pub(crate) fn loops_since(&self, before: &Reading) -> Vec<u64> {
        let pairs = self.loops.iter().zip(&before.loops);
        pairs.map(|(now, then)| now.saturating_sub(*then)).collect()
    }
}
