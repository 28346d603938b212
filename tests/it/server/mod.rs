//! The server: the library in this process, and the program `server`.

mod addresses;
mod admin;
mod busy_poll;
mod codec;
mod drain;
mod echo;
mod full;
mod greeting;
mod handler;
mod log;
mod preflight;
mod program;
mod proxy;
mod push;
mod push_bounds;
mod round_robin;
mod sandbox;
mod service;
mod signals;
mod slow_and_hostile;
mod threads;
mod urgent_data;
mod variables;
mod workers;
