//! What a load costs a process: CPU time and memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// CPU time in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cpu {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

/// What the connections and messages of a run cost the server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ServerCost {
    /// CPU time by process: its number and its host, or the URL of its admin page.
    pub(crate) processes: BTreeMap<String, Cpu>,
    pub(crate) bytes_per_connection: BytesPerConnection,
    /// The messages of each event loop of the server, if its admin page was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) loops: Vec<u64>,
}

/// The memory of a connection in bytes, if known.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct BytesPerConnection {
    /// The server's own.
    pub(crate) own: Option<f64>,
    /// The kernel's on this machine: of both ends if the server is on it.
    pub(crate) kernel: Option<f64>,
}

impl Cpu {
    pub(crate) fn total(self) -> f64 {
        self.user + self.system
    }

    pub(crate) fn plus(self, other: Cpu) -> Cpu {
        Cpu { user: self.user + other.user, system: self.system + other.system }
    }

    /// In microseconds per message.
    pub(crate) fn per_message(self, messages: u64) -> Cpu {
        let each = |seconds: f64| seconds * 1e6 / messages.max(1) as f64;
        Cpu { user: each(self.user), system: each(self.system) }
    }

    /// `cpu_us_per_message` of the JSON.
    pub(crate) fn json_per_message(self, messages: u64) -> Value {
        if messages == 0 {
            return Value::Null;
        }
        let each = self.per_message(messages);
        json!({ "total": each.total(), "user": each.user, "system": each.system })
    }
}

impl ServerCost {
    pub(crate) fn cpu(&self) -> Cpu {
        self.processes.values().copied().fold(Cpu::default(), Cpu::plus)
    }

    /// Merges the costs that two clients have measured. If both measured one process, the
    /// larger CPU time is that of both. The memory of a connection and the balance of the event
    /// loops are then unknown.
    pub(crate) fn merge(mut self, other: ServerCost) -> ServerCost {
        for (process, cpu) in other.processes {
            let known = self.processes.entry(process).or_default();
            if cpu.total() > known.total() {
                *known = cpu;
            }
        }
        let (bytes_per_connection, loops) = Default::default();
        ServerCost { bytes_per_connection, loops, ..self }
    }
}
