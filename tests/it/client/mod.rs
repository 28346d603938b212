//! The program `client`.

mod accounts;
mod broken_servers;
mod closing;
mod conditions;
mod connect_times;
mod foreign_results;
mod full_sources;
mod latency;
mod local_ports;
mod loops;
mod merge;
mod other_servers;
mod outputs;
mod page;
mod rates;
mod reconnect;
mod runs;
mod sandbox;
mod signals;
mod swapped_replies;
mod targets;
mod usage;
mod variables;
mod without_proc;
mod wrong_replies;
