//! What the server counts, as metrics.

use std::time::UNIX_EPOCH;

use procfs::process::{LimitValue, Process};
use procfs::{ProcResult, WithCurrentSystemInfo};
use reactor_server::program::cpu::{time_of_process, user_and_system};
use reactor_server::{Counter, ReactorStats, Reason, Stats};

use super::exposition::Exposition;
use super::tcp_states::TcpStates;
use crate::status::{Serving, Status};

/// All metrics of a server that listens. `dropped` is the number of log lines that were not
/// written.
pub(super) fn render(
    status: &Status,
    serving: &Serving,
    tcp_states: &TcpStates,
    dropped: u64,
) -> String {
    let (stats, mut text) = (serving.server.stats(), Exposition::default());
    let version = concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"");
    text.family("reactor_build_info", "gauge", "The version of the server.").sample(
        "reactor_build_info",
        version,
        1,
    );
    let is_draining = u8::from(status.is_draining());
    text.gauge("reactor_draining", "Whether the server drains.", is_draining);
    let open = connections(&mut text, stats, serving.max_connections);
    traffic(&mut text, stats);
    trouble(&mut text, stats, dropped);
    loops(&mut text, stats);
    turns(&mut text, stats);
    if let Some(counts) = tcp_states.count(serving.port, open) {
        const STATES: &str = "reactor_tcp_connections";
        text.family(STATES, "gauge", "Connections of the server in the kernel, by TCP state.");
        for (state, count) in counts {
            text.sample(STATES, &format!("state=\"{state}\""), count);
        }
    }
    process(&mut text, status);
    text.into_text()
}

/// Returns how many connections are open.
fn connections(text: &mut Exposition, stats: &Stats, most: usize) -> u64 {
    // The closed ones first, or one could be counted that was not when it was accepted.
    let closed = stats.closed();
    let accepted = stats.acceptor.accepted.get();
    let open = accepted.saturating_sub(closed);
    text.gauge("reactor_connections", "Open connections.", open);
    text.gauge("reactor_max_connections", "Connections that may be open at once.", most);
    text.counter("reactor_accepted_total", "Connections accepted.", accepted);
    const CLOSED: &str = "reactor_closed_total";
    text.family(CLOSED, "counter", "Connections closed, by reason.");
    for reason in Reason::ALL {
        let label = format!("reason=\"{}\"", reason.as_str());
        text.sample(CLOSED, &label, stats.closed_for(*reason));
    }
    let resets = stats.sum(|reactor| &reactor.resets);
    text.counter("reactor_resets_total", "Connections reset on purpose.", resets);
    open
}

fn traffic(text: &mut Exposition, stats: &Stats) {
    const DISCARDED: &str = "Bytes that arrived after the last one that is answered.";
    let counters: [Counted; 5] = [
        ("reactor_messages_total", "Messages handled.", |it| &it.messages),
        ("reactor_received_bytes_total", "Bytes received.", |it| &it.received),
        ("reactor_sent_bytes_total", "Bytes sent.", |it| &it.sent),
        ("reactor_discarded_bytes_total", DISCARDED, |it| &it.discarded),
        ("reactor_pushed_total", "Messages pushed to connections.", |it| &it.pushed),
    ];
    sums(text, stats, &counters);
}

/// What was refused, dropped, or had to wait.
fn trouble(text: &mut Exposition, stats: &Stats, dropped: u64) {
    let acceptor = &stats.acceptor;
    const PAUSES: &str = "reactor_accept_pauses_total";
    text.family(PAUSES, "counter", "How often accepting was paused, by what was short.");
    text.sample(PAUSES, "short=\"connections\"", acceptor.full.get());
    text.sample(PAUSES, "short=\"descriptors\"", acceptor.exhausted.get());
    const WAITED: &str = "Connections that had to wait to be accepted.";
    text.counter("reactor_accept_waited_total", WAITED, acceptor.waited.get());
    const RETRIES: &str = "Attempts to accept that failed and were repeated at once.";
    text.counter("reactor_accept_retries_total", RETRIES, acceptor.retries.get());
    const WAITS: &str = "How often a connection had to wait for a worker.";
    const REDUCED: &str = "Reads that were reduced because the connections held too much.";
    const UNWATCHED: &str = "Connections lost because epoll did not watch them.";
    const STALE: &str = "Events and replies for a connection that was closed already.";
    let counters: [Counted; 5] = [
        ("reactor_worker_waits_total", WAITS, |it| &it.waits),
        ("reactor_reduced_reads_total", REDUCED, |it| &it.reduced_reads),
        ("reactor_panics_total", "Panics of the handler.", |it| &it.panics),
        ("reactor_unwatched_total", UNWATCHED, |it| &it.unwatched),
        ("reactor_stale_total", STALE, |it| &it.stale),
    ];
    sums(text, stats, &counters);
    const PUSHES: &str = "reactor_pushes_dropped_total";
    text.family(PUSHES, "counter", "Messages not pushed, by cause.");
    text.sample(PUSHES, "cause=\"full\"", stats.sum(|reactor| &reactor.pushes_dropped));
    text.sample(PUSHES, "cause=\"closed\"", stats.sum(|reactor| &reactor.pushes_late));
    const DROPPED: &str = "Log lines that were not written.";
    text.counter("reactor_log_lines_dropped_total", DROPPED, dropped);
}

/// The name of a counter, its help, and what of each reactor it sums.
type Counted = (&'static str, &'static str, fn(&ReactorStats) -> &Counter);

fn sums(text: &mut Exposition, stats: &Stats, counters: &[Counted]) {
    for (name, help, counter) in counters {
        text.counter(name, help, stats.sum(counter));
    }
}

/// The balance of the reactors, each of which runs an event loop.
fn loops(text: &mut Exposition, stats: &Stats) {
    const OPEN: &str = "reactor_loop_connections";
    text.family(OPEN, "gauge", "Open connections, by event loop.");
    for number in 0..stats.reactors.len() {
        text.sample(OPEN, &format!("loop=\"{number}\""), stats.open(number));
    }
    const MESSAGES: &str = "reactor_loop_messages_total";
    text.family(MESSAGES, "counter", "Messages handled, by event loop.");
    for (number, reactor) in stats.reactors.iter().enumerate() {
        text.sample(MESSAGES, &format!("loop=\"{number}\""), reactor.messages.get());
    }
}

/// How long turns of the event loops took.
fn turns(text: &mut Exposition, stats: &Stats) {
    let turns = stats.turns();
    const TURNS: &str = "reactor_loop_turn_seconds";
    const HELP: &str = "Time of a turn of an event loop, between two waits. One in 64 is timed.";
    text.family(TURNS, "histogram", HELP);
    for (bound, count) in turns.up_to {
        let label = format!("le=\"{}\"", bound.as_secs_f64());
        text.sample(&format!("{TURNS}_bucket"), &label, count);
    }
    text.sample(&format!("{TURNS}_bucket"), "le=\"+Inf\"", turns.count);
    text.sample(&format!("{TURNS}_sum"), "", turns.total.as_secs_f64());
    text.sample(&format!("{TURNS}_count"), "", turns.count);
}

/// What the process uses. What cannot be read, as without `/proc`, is left out.
fn process(text: &mut Exposition, status: &Status) {
    let started = status.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    const STARTED: &str = "Start time of the process since the Unix epoch in seconds.";
    text.gauge("process_start_time_seconds", STARTED, started.as_secs_f64());
    let process = Process::myself().ok();
    if let Ok(total) = time_of_process(std::process::id() as i32) {
        let used = total.as_secs_f64();
        text.counter("process_cpu_seconds_total", "CPU time used in seconds.", used);
        if let Some(stat) = process.as_ref().and_then(|process| process.stat().ok()) {
            const CPU: &str = "reactor_cpu_seconds_total";
            let (user, system) = user_and_system(total, stat.utime, stat.stime);
            text.family(CPU, "counter", "CPU time of the process in seconds, by mode.");
            text.sample(CPU, "mode=\"user\"", user);
            text.sample(CPU, "mode=\"system\"", system);
            let resident = stat.rss_bytes().get();
            text.gauge("process_resident_memory_bytes", "Resident memory in bytes.", resident);
        }
    }
    if let Some((open, most)) = process.and_then(|process| descriptors(&process).ok()) {
        text.gauge("process_open_fds", "Open file descriptors.", open);
        text.gauge("process_max_fds", "Most file descriptors that may be open.", most);
    }
}

/// How many descriptors are open, and how many may be.
fn descriptors(process: &Process) -> ProcResult<(usize, String)> {
    let most = match process.limits()?.max_open_files.soft_limit {
        LimitValue::Value(most) => most.to_string(),
        LimitValue::Unlimited => "+Inf".to_owned(),
    };
    Ok((process.fd_count()?, most))
}
