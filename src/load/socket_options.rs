//! The options of the sockets that a load connects.

use std::os::fd::AsFd;

use socket2::{Domain, Socket, Type};

use crate::load::plan::Plan;
use crate::net::socket_option::SocketOption;
use crate::net::sys;

/// Sets the options of a socket that connects, perhaps from a source address, as far as the
/// kernel does not refuse.
pub(crate) fn set(socket: &Socket, has_source: bool) -> [SocketOption; 3] {
    let choose_port = || sys::choose_port_on_connecting(socket.as_fd());
    [
        SocketOption::new(
            "TCP_NODELAY",
            socket.set_tcp_nodelay(true),
            "messages may wait 40 ms or more for the server to acknowledge earlier ones",
        ),
        // Urgent bytes are bytes of the stream: to be verified, or too many.
        SocketOption::new(
            "SO_OOBINLINE",
            socket.set_out_of_band_inline(true),
            "bytes that the server sends as urgent are not verified",
        ),
        // A port that the kernel chose on binding could not be used for another peer.
        SocketOption::new(
            "IP_BIND_ADDRESS_NO_PORT",
            if has_source { choose_port() } else { Ok(()) },
            "each source address has ports for fewer connections",
        ),
    ]
}

/// Returns a warning for each option that the kernel refuses to set on the sockets of this
/// plan. The load runs without it.
pub fn option_warnings(plan: &Plan) -> Vec<String> {
    let socket = Socket::new(Domain::for_address(plan.target), Type::STREAM, None);
    // If there can be no socket at all, the connections say why.
    let Ok(socket) = socket else { return Vec::new() };
    let options = set(&socket, plan.sources.count() > 0);
    options.iter().filter_map(SocketOption::warning).collect()
}
