//! Where and with what a result was got.

use std::env;
use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread;

use chrono::{Local, SecondsFormat};
use procfs::{CpuInfo, Current};
use serde::{Deserialize, Serialize};

use crate::cost::Meter;

/// Where and with what a result was got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Environment {
    pub(crate) host: String,
    /// The number of the client's process.
    pub(crate) pid: u32,
    pub(crate) kernel: String,
    /// CPUs that the client may use.
    pub(crate) cpus: usize,
    pub(crate) cpu_model: String,
    /// Of the client.
    pub(crate) version: String,
    /// The full command line.
    pub(crate) command: String,
    /// When the client was started.
    pub(crate) started: String,
    /// Whether client and server share CPUs, as far as that can be told.
    pub(crate) shares_cpus: bool,
}

impl Environment {
    pub(crate) fn now(target: IpAddr, server: Option<&Meter>) -> Environment {
        let read = |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        Environment {
            host: read("/proc/sys/kernel/hostname"),
            pid: std::process::id(),
            kernel: read("/proc/sys/kernel/osrelease"),
            cpus: thread::available_parallelism().map_or(0, usize::from),
            cpu_model: cpu_model().unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: env::args_os()
                .map(|it| it.to_string_lossy().into_owned())
                .collect::<Vec<_>>()
                .join(" "),
            started: Local::now().to_rfc3339_opts(SecondsFormat::Millis, false),
            shares_cpus: shares_cpus(target, server),
        }
    }
}

fn cpu_model() -> Option<String> {
    CpuInfo::current().ok()?.model_name(0).map(str::to_owned)
}

/// Without a process to ask, a server on this machine is taken to use all of it.
fn shares_cpus(target: IpAddr, server: Option<&Meter>) -> bool {
    let overlap = |server: &Meter| {
        let (ours, theirs) = (Meter::of_this_process()?.cpus()?, server.cpus()?);
        anyhow::Ok(ours.iter().any(|&(a, b)| theirs.iter().any(|&(c, d)| a <= d && c <= b)))
    };
    server.and_then(|server| overlap(server).ok()).unwrap_or_else(|| is_here(target))
}

/// Whether an address is one of this machine's: only to such a one can a socket be bound.
pub(crate) fn is_here(address: IpAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(address, 0)).is_ok()
}
