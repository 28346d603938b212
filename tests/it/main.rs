//! The integration tests: the library over real sockets, and both programs as processes.

#[path = "../shared/free_port.rs"]
mod free_port;
#[path = "../shared/reference_codec.rs"]
mod reference_codec;
#[path = "../shared/small_pipe.rs"]
mod small_pipe;
#[path = "../shared/splitmix.rs"]
mod splitmix;
#[path = "../shared/strace.rs"]
mod strace;

mod client;
mod examples;
mod generate;
mod server;
mod support;
mod unsafe_code;
