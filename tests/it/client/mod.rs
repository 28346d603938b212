//! The program `client`.

mod broken_servers;
mod closing;
mod conditions;
mod foreign_results;
mod full_sources;
mod latency;
mod local_ports;
mod loops;
mod merge;
mod other_servers;
mod outputs;
mod over_time;
mod page;
mod rates;
mod runs;
mod sandbox;
mod signals;
mod swapped_replies;
mod targets;
mod usage;
mod variables;
mod without_proc;
mod wrong_replies;
