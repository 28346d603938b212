//! The options of the listener, which accepted sockets inherit.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::Socket;

use crate::net::socket_option::SocketOption;
use crate::net::sys;
use crate::server::patience::Timeouts;

/// How many seconds a connection may be silent before the kernel asks whether the peer still
/// exists, after how many seconds it asks again, and how many times.
const KEEPALIVE: (i32, i32, i32) = (60, 10, 6);

/// Sets them, as far as the kernel does not refuse.
pub(crate) fn set(socket: &Socket, address: IpAddr, timeouts: Timeouts) -> [SocketOption; 9] {
    let (time, interval, retries) = KEEPALIVE;
    // With socket2 each would set SO_KEEPALIVE anew, and fail if that is refused.
    let keepalive =
        |option, value| sys::set_option(socket.as_fd(), libc::IPPROTO_TCP, option, value);
    [
        SocketOption::new(
            "IPV6_V6ONLY",
            if address == Ipv6Addr::UNSPECIFIED { serve_ipv4_too(socket) } else { Ok(()) },
            "IPv4 is not served",
        ),
        SocketOption::new(
            "SO_REUSEADDR",
            socket.set_reuse_address(true),
            "the port cannot be used again for a minute after the server has ended",
        ),
        // Out of line, an urgent byte is lost, and the kernel counts as arrived only the bytes
        // before it.
        SocketOption::new(
            "SO_OOBINLINE",
            socket.set_out_of_band_inline(true),
            "bytes that a peer sends as urgent are lost, and at a drain those behind them too",
        ),
        SocketOption::new(
            "TCP_NODELAY",
            socket.set_tcp_nodelay(true),
            "replies may wait 40 ms or more for the peer to acknowledge earlier ones",
        ),
        SocketOption::new(
            "SO_KEEPALIVE",
            socket.set_keepalive(true),
            "connections of idle peers that are gone stay open",
        ),
        SocketOption::new(
            "TCP_KEEPIDLE",
            keepalive(libc::TCP_KEEPIDLE, time),
            "connections of idle peers that are gone stay open for hours",
        ),
        SocketOption::new(
            "TCP_KEEPINTVL",
            keepalive(libc::TCP_KEEPINTVL, interval),
            "connections of idle peers that are gone stay open for some minutes longer",
        ),
        SocketOption::new(
            "TCP_KEEPCNT",
            keepalive(libc::TCP_KEEPCNT, retries),
            "connections of idle peers that are gone stay open for half a minute longer",
        ),
        SocketOption::new(
            "TCP_USER_TIMEOUT",
            socket.set_tcp_user_timeout(user_timeout(timeouts.write)),
            "connections of peers that acknowledge nothing may stay open for 15 minutes",
        ),
    ]
}

/// Has a socket that will listen on all IPv6 addresses listen on all IPv4 addresses as well,
/// whatever `net.ipv6.bindv6only` is. It may do so already.
fn serve_ipv4_too(socket: &Socket) -> io::Result<()> {
    let result = socket.set_only_v6(false);
    if matches!(socket.only_v6(), Ok(false)) { Ok(()) } else { result }
}

/// The kernel takes milliseconds in an `int`.
const LONGEST_USER_TIMEOUT: Duration = Duration::from_millis(i32::MAX as u64);

/// How long sent bytes may stay unacknowledged. The kernel also counts the time in which a
/// peer's window is closed, so the limit is never shorter than the server's own.
fn user_timeout(write: Option<Duration>) -> Option<Duration> {
    write.map(|write| write.clamp(Duration::from_secs(60), LONGEST_USER_TIMEOUT))
}
