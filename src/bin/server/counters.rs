//! The counters in the log.

use reactor_server::{Reason, Stats};

/// Logs the summary, the last line of the log.
pub(crate) fn log_summary(stats: &Stats, dropped: u64) {
    let messages = stats.sum(|reactor| &reactor.messages);
    let seconds = stats.busy().as_secs_f64();
    let rate = if seconds > 0.0 { messages as f64 / seconds } else { 0.0 };
    log::info!(
        "summary connections={} messages={messages} in={}B out={}B seconds={seconds:.3} \
         rate={rate:.0}/s dropped={dropped}",
        stats.acceptor.accepted.get(),
        stats.sum(|reactor| &reactor.received),
        stats.sum(|reactor| &reactor.sent),
    );
}

/// Logs all counters on one line.
pub(crate) fn log_counters(stats: &Stats, dropped: u64) {
    let acceptor = &stats.acceptor;
    let (accepted, closed) = (acceptor.accepted.get(), stats.closed());
    let reasons: String = Reason::ALL
        .iter()
        .map(|&reason| format!(" closed-{}={}", reason.as_str(), stats.closed_for(reason)))
        .collect();
    log::info!(
        "counters accepted={accepted} open={} messages={} in={}B out={}B{reasons} discarded={}B resets={} \
         stale={} panics={} unwatched={} job-waits={} reduced-reads={} accept-retries={} accept-exhausted={} \
         accept-full={} accept-waited={} pushed={} pushes-dropped={} pushes-late={} dropped={dropped}",
        accepted.saturating_sub(closed),
        stats.sum(|reactor| &reactor.messages),
        stats.sum(|reactor| &reactor.received),
        stats.sum(|reactor| &reactor.sent),
        stats.sum(|reactor| &reactor.discarded),
        stats.sum(|reactor| &reactor.resets),
        stats.sum(|reactor| &reactor.stale),
        stats.sum(|reactor| &reactor.panics),
        stats.sum(|reactor| &reactor.unwatched),
        stats.sum(|reactor| &reactor.waits),
        stats.sum(|reactor| &reactor.reduced_reads),
        acceptor.retries.get(),
        acceptor.exhausted.get(),
        acceptor.full.get(),
        acceptor.waited.get(),
        stats.sum(|reactor| &reactor.pushed),
        stats.sum(|reactor| &reactor.pushes_dropped),
        stats.sum(|reactor| &reactor.pushes_late),
    );
}
