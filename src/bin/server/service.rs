//! What systemd and a server tell each other: the socket to listen on, and how far the server is.

use std::env;
use std::net::TcpListener;

use anyhow::{Context, ensure};
use listenfd::ListenFd;
use sd_notify::{NotifyState, notify};
use socket2::SockRef;

/// The listener that was passed to this process, as sd_listen_fds(3) has it, if one was.
///
/// # Errors
/// What was passed is no single TCP socket that listens.
pub(crate) fn passed_listener() -> anyhow::Result<Option<TcpListener>> {
    if !is_passed_a_socket() {
        return Ok(None);
    }
    // listenfd takes a value that is not a number as no sockets.
    if let Ok(count) = env::var("LISTEN_FDS") {
        ensure!(count.parse::<u16>().is_ok(), "LISTEN_FDS is {count:?}: not a number of sockets");
    }
    let mut passed = ListenFd::from_env();
    match passed.len() {
        0 => return Ok(None),
        1 => {}
        count => anyhow::bail!("{count} sockets were passed (LISTEN_FDS): the server takes one"),
    }
    let listener =
        passed.take_tcp_listener(0).context("the socket that was passed (LISTEN_FDS)")?;
    let listener = listener.context("the socket that was passed is gone")?;
    let socket = SockRef::from(&listener);
    let listens = socket.is_listener().context("the socket that was passed")?;
    ensure!(listens, "the socket that was passed (LISTEN_FDS) does not listen");
    Ok(Some(listener))
}

/// Returns whether sockets were passed to this very process.
pub(crate) fn is_passed_a_socket() -> bool {
    env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string())
}

/// The server accepts connections.
pub(crate) fn notify_ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The server is about to drain.
pub(crate) fn notify_stopping() {
    send(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// Runs `reload`, and says when it begins and that it is over.
pub(crate) fn notify_reload(reload: impl FnOnce()) {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => log::warn!("cannot tell systemd of the reload: {error}"),
    }
    reload();
    send(&[NotifyState::Ready]);
}

/// Without `NOTIFY_SOCKET` nobody wants to know.
fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = notify(states) {
        log::warn!("cannot tell systemd how far the server is: {error}");
    }
}
