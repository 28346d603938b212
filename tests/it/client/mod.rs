//! The program `client`.

mod broken_servers;
mod conditions;
mod foreign_results;
mod latency;
mod loops;
mod merge;
mod other_servers;
mod outputs;
mod page;
mod rates;
mod runs;
mod sandbox;
mod signals;
mod swapped_replies;
mod usage;
mod wrong_replies;
