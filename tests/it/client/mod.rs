//! The program `client`.

mod broken_servers;
mod closing;
mod latency;
mod local_ports;
mod loops;
mod merge;
mod other_servers;
mod page;
mod rates;
mod runs;
mod signals;
mod swapped_replies;
mod usage;
mod without_proc;
mod wrong_replies;
