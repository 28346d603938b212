//! The figures of a server's log as text.

use std::fmt::Write;

use super::figures::{Extreme, Figures, Sum};
use crate::readable;

/// The figures as text, with a name in front of each line.
pub(super) fn render(figures: &Figures) -> String {
    let mut text = String::new();
    let mut line = |name: &str, line: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<14} {line}");
    };
    line("connections", &connections(figures));
    if figures.total.connections > 0 {
        let known = |moment: Option<_>| moment.map_or("unknown".to_owned(), |it| format!("{it}"));
        line("first connect", &known(figures.first_connect));
        line("last close", &known(figures.last_close));
        let seconds = figures.seconds().map(|it| format!("{it:.3} s"));
        line("time between", &seconds.unwrap_or("unknown".to_owned()));
        line("messages", &messages(figures));
        line("bytes", &bytes(&figures.total));
    }
    for (index, row) in open_for(figures).iter().enumerate() {
        line(if index == 0 { "open for" } else { "" }, row);
    }
    if !figures.reasons.is_empty() {
        let reasons = figures.reasons.iter();
        let reasons =
            reasons.map(|(reason, times)| format!("{} x {reason}", readable::count(*times)));
        let reasons: Vec<_> = reasons.collect();
        line("closed for", &reasons.join(", "));
    }
    for (index, row) in threads(figures).iter().enumerate() {
        line(if index == 0 { "threads" } else { "" }, row);
    }
    for note in notes(figures) {
        line("note", &note);
    }
    text
}

/// How many connections there are, and what is missing of them.
fn connections(figures: &Figures) -> String {
    let parts = [
        (figures.opened, "opened"),
        (figures.closed, "closed"),
        (figures.still_open(), "still open"),
        (figures.unused, "without a message (in no figure below)"),
    ];
    let parts = parts.iter().enumerate().filter(|(index, part)| *index < 2 || part.0 > 0);
    let parts: Vec<_> =
        parts.map(|(_, (count, what))| format!("{} {what}", readable::count(*count))).collect();
    parts.join(", ")
}

fn messages(figures: &Figures) -> String {
    match (figures.total.messages(), figures.rate(&figures.total)) {
        (None, _) => "unknown: the close lines do not have their number; see --messages".to_owned(),
        (Some(messages), None) => readable::count(messages),
        (Some(messages), Some(rate)) => {
            format!("{}, {} per second", readable::count(messages), readable::number(rate))
        }
    }
}

fn bytes(total: &Sum) -> String {
    match total.received().zip(total.sent()) {
        None => "unknown".to_owned(),
        Some((received, sent)) => {
            format!("{} received, {} sent", readable::count(received), readable::count(sent))
        }
    }
}

/// How long connections were open, from the fastest to the slowest.
fn open_for(figures: &Figures) -> Vec<String> {
    let (Some(fastest), Some(slowest)) = (figures.fastest, figures.slowest) else {
        return Vec::new();
    };
    let row = |name: &str, seconds| format!("{name:<8} {:>8}", readable::micros(seconds * 1e6));
    let extreme = |name, it: Extreme| {
        let row = row(name, it.millis as f64 / 1000.0);
        format!("{row}  {}, thread {}", it.peer, it.thread)
    };
    let percentiles = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0)].into_iter();
    let percentiles =
        percentiles.filter_map(|(name, it)| Some(row(name, figures.open_seconds(it)?)));
    let rows = [extreme("fastest", fastest)].into_iter().chain(percentiles);
    rows.chain([extreme("slowest", slowest)]).collect()
}

/// A table of the threads that had connections with messages.
fn threads(figures: &Figures) -> Vec<String> {
    let or_unknown = |number: Option<String>| number.unwrap_or_else(|| "unknown".to_owned());
    let row = |(thread, sum): (&u32, &Sum)| {
        let messages = or_unknown(sum.messages().map(readable::count));
        let rate = or_unknown(figures.rate(sum).map(readable::number));
        let connections = readable::count(sum.connections);
        format!("{thread:>8} {connections:>12} {messages:>14} {rate:>12}")
    };
    if figures.threads.is_empty() {
        return Vec::new();
    }
    let count = format!("{} had messages", figures.threads.len());
    let head =
        format!("{:>8} {:>12} {:>14} {:>12}", "thread", "connections", "messages", "per second");
    [count, head].into_iter().chain(figures.threads.iter().map(row)).collect()
}

/// What limits the validity of the figures.
fn notes(figures: &Figures) -> Vec<String> {
    let notes = [
        (
            figures.skipped,
            "line is no connect or close line, and was skipped",
            "lines are no connect or close line, and were skipped",
        ),
        (
            figures.never_opened,
            "connection has no connect line: the log begins later",
            "connections have no connect line: the log begins later",
        ),
        (
            figures.never_closed(),
            "connection has no close line: the server was killed, or lines are missing",
            "connections have no close line: the server was killed, or lines are missing",
        ),
        (
            figures.dropped,
            "line was dropped by the server, as it reports",
            "lines were dropped by the server, as it reports",
        ),
        (
            figures.out_of_order,
            "line is earlier than one before it: the clock was set back, or these are logs of \
             several servers",
            "lines are earlier than one before them: the clock was set back, or these are logs of \
             several servers",
        ),
    ];
    let notes = notes.iter().filter(|note| note.0 > 0);
    notes.map(|(count, one, many)| readable::counted(*count, one, many)).collect()
}
