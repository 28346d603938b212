//! The program `client`.

mod broken_servers;
mod latency;
mod loops;
mod merge;
mod other_servers;
mod page;
mod rates;
mod runs;
mod signals;
mod swapped_replies;
mod targets;
mod usage;
mod variables;
mod wrong_replies;
