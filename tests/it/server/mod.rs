//! The server: the library in this process, and the program `server`.

mod addresses;
mod busy_poll;
mod codec;
mod drain;
mod echo;
mod handler;
mod program;
mod round_robin;
mod slow_and_hostile;
mod variables;
mod workers;
