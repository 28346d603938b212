//! The server under test, and what a row needs of the machine.

pub(crate) mod bench;
pub(crate) mod cgroup;
pub(crate) mod cli;
pub(crate) mod groups;
pub(crate) mod namespace;
pub(crate) mod row;
pub(crate) mod server;
pub(crate) mod shortage;
pub(crate) mod strace;
pub(crate) mod tcp_table;
