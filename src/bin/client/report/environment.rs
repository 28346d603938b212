//! The machine and the program that a result is from.

use std::env;
use std::fs;

use chrono::{Local, SecondsFormat};
use procfs::{CpuInfo, Current};
use reactor_server::load::{Arrival, Plan};
use reactor_server::program::limits::cpus;
use serde::{Deserialize, Serialize};

/// The machine and the program that a result is from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Environment {
    /// `None`, here and below: it cannot be read.
    pub(crate) host: Option<String>,
    /// The client's process.
    pub(crate) pid: u32,
    pub(crate) kernel: Option<String>,
    /// CPUs that the client may use.
    pub(crate) cpus: usize,
    pub(crate) cpu_model: Option<String>,
    /// The client's version.
    pub(crate) version: String,
    /// The full command line.
    pub(crate) command: String,
    /// When the client started.
    pub(crate) started: String,
    /// Whether client and server share CPUs, as far as known.
    pub(crate) shares_cpus: bool,
    /// Where the client began among the Poisson arrivals, if that is of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) arrival_seed: Option<u32>,
}

impl Environment {
    pub(crate) fn now(shares_cpus: bool, plan: &Plan) -> Environment {
        let read = |path| Some(fs::read_to_string(path).ok()?.trim().to_owned());
        Environment {
            host: read("/proc/sys/kernel/hostname"),
            pid: std::process::id(),
            kernel: read("/proc/sys/kernel/osrelease"),
            cpus: cpus(),
            cpu_model: cpu_model(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: env::args_os()
                .map(|it| it.to_string_lossy().into_owned())
                .collect::<Vec<_>>()
                .join(" "),
            started: Local::now().to_rfc3339_opts(SecondsFormat::Millis, false),
            shares_cpus,
            arrival_seed: Some(plan.arrival_seed)
                .filter(|seed| *seed > 0 && plan.arrival == Arrival::Poisson),
        }
    }
}

fn cpu_model() -> Option<String> {
    CpuInfo::current().ok()?.model_name(0).map(str::to_owned)
}
