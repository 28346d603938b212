//! What a load costs: processor time and memory, read from `/proc`.

use std::collections::BTreeMap;

use anyhow::Context;
use procfs::process::Process;
use procfs::{Current, Meminfo, WithCurrentSystemInfo};
use reactor_server::program::cpu;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What a process has used so far, and what it has now.
///
/// Another source of these figures would be a server's own word for them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    cpu: Cpu,
    /// Bytes of its own memory that are resident.
    own: u64,
    /// Bytes of the kernel's objects, of all processes: sockets are among them.
    kernel: u64,
}

/// Processor time, in seconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Cpu {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

/// What the connections and the messages of a run cost the server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ServerCost {
    /// By process: its number, and its host.
    pub(crate) processes: BTreeMap<String, Cpu>,
    pub(crate) bytes_per_connection: Bytes,
}

/// What memory a connection took, in bytes, if that can be told.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Bytes {
    /// Of the server's own.
    pub(crate) own: Option<f64>,
    /// Of the kernel's: of this machine's end, or of both if the server is on it.
    pub(crate) kernel: Option<f64>,
}

/// Whose cost is watched.
#[derive(Debug)]
pub(crate) struct Meter(Process);

impl Meter {
    /// # Errors
    /// There is no such process.
    pub(crate) fn of(pid: i32) -> anyhow::Result<Meter> {
        Process::new(pid).map(Meter).with_context(|| format!("there is no process {pid}"))
    }

    pub(crate) fn of_this_process() -> anyhow::Result<Meter> {
        Process::myself().map(Meter).context("cannot read /proc/self")
    }

    pub(crate) fn pid(&self) -> i32 {
        self.0.pid
    }

    /// The CPUs that it may use, from one to another.
    pub(crate) fn cpus(&self) -> anyhow::Result<Vec<(u32, u32)>> {
        let status = self.0.status()?;
        status.cpus_allowed_list.context("the kernel does not say which CPUs a process may use")
    }

    /// # Errors
    /// The process is gone, or not ours to look at.
    pub(crate) fn read(&self) -> anyhow::Result<Reading> {
        let stat = self.0.stat().with_context(|| format!("cannot read /proc/{}", self.0.pid))?;
        Ok(Reading {
            cpu: self.cpu(stat.utime as f64, stat.stime as f64)?,
            own: stat.rss_bytes().get(),
            kernel: kernel_bytes()?,
        })
    }

    /// The kernel counts the two in hundredths of a second, and their sum in nanoseconds.
    fn cpu(&self, user: f64, system: f64) -> anyhow::Result<Cpu> {
        let total = cpu::time_of_process(self.0.pid)?.as_secs_f64();
        let share = if user + system > 0.0 { user / (user + system) } else { 0.0 };
        Ok(Cpu { user: total * share, system: total * (1.0 - share) })
    }
}

impl Reading {
    /// Processor time since then.
    pub(crate) fn cpu_since(&self, before: &Reading) -> Cpu {
        Cpu {
            user: (self.cpu.user - before.cpu.user).max(0.0),
            system: (self.cpu.system - before.cpu.system).max(0.0),
        }
    }

    /// Bytes for each of so many connections since then.
    pub(crate) fn bytes_since(&self, before: &Reading, connections: u64) -> Bytes {
        let each =
            |now: u64, then: u64| now.saturating_sub(then) as f64 / connections.max(1) as f64;
        Bytes {
            own: Some(each(self.own, before.own)),
            kernel: Some(each(self.kernel, before.kernel)),
        }
    }
}

impl Cpu {
    pub(crate) fn total(self) -> f64 {
        self.user + self.system
    }

    pub(crate) fn plus(self, other: Cpu) -> Cpu {
        Cpu { user: self.user + other.user, system: self.system + other.system }
    }

    /// In microseconds for each of so many messages.
    pub(crate) fn each(self, messages: u64) -> Cpu {
        let each = |seconds: f64| seconds * 1e6 / messages.max(1) as f64;
        Cpu { user: each(self.user), system: each(self.system) }
    }

    /// `cpu_us_per_message` of the JSON.
    pub(crate) fn per_message(self, messages: u64) -> Value {
        if messages == 0 {
            return Value::Null;
        }
        let each = self.each(messages);
        json!({ "total": each.total(), "user": each.user, "system": each.system })
    }
}

impl ServerCost {
    pub(crate) fn cpu(&self) -> Cpu {
        self.processes.values().copied().fold(Cpu::default(), Cpu::plus)
    }

    /// What is known of both together. A process that both have watched has used what the
    /// one saw that saw more; what memory a connection of one of them took cannot be told.
    pub(crate) fn merge(mut self, other: ServerCost) -> ServerCost {
        for (process, cpu) in other.processes {
            let known = self.processes.entry(process).or_default();
            if cpu.total() > known.total() {
                *known = cpu;
            }
        }
        ServerCost { bytes_per_connection: Bytes::default(), ..self }
    }
}

fn kernel_bytes() -> anyhow::Result<u64> {
    let meminfo = Meminfo::current().context("cannot read /proc/meminfo")?;
    Ok(meminfo.slab)
}
