//! The figures of a server's log.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::line::{Closing, Connection, Event, Line};
use super::moment::Moment;
use super::pairing::Pairing;
use crate::report::Distribution;

/// The figures of a server's log. Their memory is bounded by the open connections, the threads
/// and the precision of a histogram, not by the lines.
///
/// A connection without a message, such as a probe, is counted and is in no other figure.
#[derive(Debug)]
pub(super) struct Figures {
    /// Messages of each connection whose close line does not have their number.
    messages_each: Option<u64>,
    pairing: Pairing,
    /// The latest time so far.
    latest: Option<Moment>,
    pub(super) lines: u64,
    /// Lines that are neither a connect nor a close line.
    pub(super) skipped: u64,
    /// Lines that are earlier than one before them, by more than threads differ.
    pub(super) out_of_order: u64,
    /// Lines for which the server had no room, as it reports itself.
    pub(super) dropped: u64,
    pub(super) opened: u64,
    pub(super) closed: u64,
    /// Closed, without a message.
    pub(super) unused: u64,
    /// Closed, without a connect line.
    pub(super) never_opened: u64,
    /// As in the line of the first connection that had messages.
    pub(super) first_connect: Option<Moment>,
    pub(super) last_close: Option<Moment>,
    /// For how many milliseconds connections that had messages were open.
    open: Distribution,
    pub(super) fastest: Option<Extreme>,
    pub(super) slowest: Option<Extreme>,
    /// Of the connections that had messages.
    pub(super) total: Sum,
    /// The same by thread.
    pub(super) threads: BTreeMap<u32, Sum>,
    pub(super) reasons: BTreeMap<&'static str, u64>,
}

/// The connection that was open for the shortest or the longest time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extreme {
    pub(super) peer: SocketAddr,
    pub(super) thread: u32,
    pub(super) millis: u64,
}

/// Connections and what they did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    pub(super) connections: u64,
    messages: u64,
    received: u64,
    sent: u64,
    /// Connections whose close lines do not have these numbers.
    without_messages: u64,
    without_bytes: u64,
}

/// Lines of threads that write at the same time may be in another order.
const JITTER: u64 = 1000;

impl Figures {
    pub(super) fn new(messages_each: Option<u64>) -> Figures {
        let open = Histogram::new(3).expect("three digits are possible");
        Figures {
            messages_each,
            pairing: Pairing::default(),
            latest: None,
            lines: 0,
            skipped: 0,
            out_of_order: 0,
            dropped: 0,
            opened: 0,
            closed: 0,
            unused: 0,
            never_opened: 0,
            first_connect: None,
            last_close: None,
            open: Distribution(open),
            fastest: None,
            slowest: None,
            total: Sum::default(),
            threads: BTreeMap::new(),
            reasons: BTreeMap::new(),
        }
    }

    /// Adds a line of the log, `None` if it concerns no connection.
    pub(super) fn add(&mut self, line: Option<Line>) {
        self.lines += 1;
        let Some(Line { at, event }) = line else {
            self.skipped += 1;
            return;
        };
        match self.latest {
            Some(latest) if latest.millis_since(at) > JITTER => self.out_of_order += 1,
            latest => self.latest = latest.max(Some(at)),
        }
        match event {
            Event::Opened(connection) => {
                self.opened += 1;
                self.pairing.open(connection, at);
            }
            Event::Closed(connection, closing) => self.close(connection, closing, at),
            Event::Listening => {
                self.skipped += 1;
                self.pairing.forget();
            }
            Event::Dropped(lines) => {
                self.skipped += 1;
                self.dropped = self.dropped.saturating_add(lines);
            }
        }
    }

    fn close(&mut self, connection: Connection, mut closing: Closing, at: Moment) {
        self.closed += 1;
        closing.reason.into_iter().for_each(|it| *self.reasons.entry(it).or_default() += 1);
        let opened = self.pairing.close(connection);
        self.never_opened += u64::from(opened.is_none());
        if closing.messages == Some(0) {
            self.unused += 1;
            return;
        }
        closing.messages = closing.messages.or(self.messages_each);
        self.total.add(&closing);
        self.threads.entry(closing.thread).or_default().add(&closing);
        // Without its first line, the last one may tell when it was opened.
        let opened = opened.or_else(|| closing.open.map(|open| at.minus(open)));
        self.first_connect = self.first_connect.into_iter().chain(opened).min();
        self.last_close = self.last_close.max(Some(at));
        if let Some(millis) = closing.open.or(opened.map(|opened| at.millis_since(opened))) {
            self.add_open(Extreme { peer: connection.peer, thread: closing.thread, millis });
        }
    }

    fn add_open(&mut self, connection: Extreme) {
        let millis = connection.millis;
        // A time that is too long for the histogram is of no server.
        let _ = self.open.0.record(millis);
        if self.fastest.is_none_or(|it| millis < it.millis) {
            self.fastest = Some(connection);
        }
        if self.slowest.is_none_or(|it| millis > it.millis) {
            self.slowest = Some(connection);
        }
    }

    /// Returns whether no line is a connect or a close line.
    pub(super) fn is_empty(&self) -> bool {
        self.opened + self.closed == 0
    }

    /// Connections that are open at the end of the log.
    pub(super) fn still_open(&self) -> u64 {
        self.pairing.len()
    }

    /// Connections that ended without a close line.
    pub(super) fn never_closed(&self) -> u64 {
        self.pairing.never_closed
    }

    /// The time from the first connect to the last close.
    pub(super) fn seconds(&self) -> Option<f64> {
        let millis = self.last_close?.millis_since(self.first_connect?);
        Some(millis as f64 / 1000.0)
    }

    /// Messages per second from the first connect to the last close.
    pub(super) fn rate(&self, sum: &Sum) -> Option<f64> {
        let seconds = self.seconds().filter(|&it| it > 0.0)?;
        Some(sum.messages()? as f64 / seconds)
    }

    /// For how many seconds this percentage of connections was open at most.
    pub(super) fn open_seconds(&self, percentile: f64) -> Option<f64> {
        let slowest = self.slowest?.millis as f64 / 1000.0;
        // The histogram is of milliseconds, and returns thousandths of them.
        Some(self.open.percentile(percentile).min(slowest))
    }

    pub(super) fn json(&self) -> Value {
        let extreme = |it: &Option<Extreme>| {
            it.map(|it| {
                let peer = it.peer.to_string();
                json!({ "peer": peer, "thread": it.thread, "seconds": it.millis as f64 / 1000.0 })
            })
        };
        let threads: Vec<_> = (self.threads.iter())
            .map(|(thread, sum)| {
                json!({
                    "thread": thread, "connections": sum.connections, "messages": sum.messages(),
                    "rate": self.rate(sum),
                })
            })
            .collect();
        json!({
            "lines": self.lines,
            "skipped": self.skipped,
            "dropped": self.dropped,
            "out_of_order": self.out_of_order,
            "connections": {
                "opened": self.opened,
                "closed": self.closed,
                "unused": self.unused,
                "never_opened": self.never_opened,
                "never_closed": self.never_closed(),
                "still_open": self.still_open(),
            },
            "first_connect": self.first_connect.map(|it| it.to_string()),
            "last_close": self.last_close.map(|it| it.to_string()),
            "seconds": self.seconds(),
            "messages": self.total.messages(),
            "rate": self.rate(&self.total),
            "bytes_received": self.total.received(),
            "bytes_sent": self.total.sent(),
            "open_seconds": {
                "p50": self.open_seconds(50.0),
                "p90": self.open_seconds(90.0),
                "p99": self.open_seconds(99.0),
                "fastest": extreme(&self.fastest),
                "slowest": extreme(&self.slowest),
            },
            "threads": threads,
            "reasons": self.reasons,
        })
    }
}

impl Sum {
    fn add(&mut self, closing: &Closing) {
        self.connections += 1;
        let add = |sum: &mut u64, number: Option<u64>| {
            *sum = sum.saturating_add(number.unwrap_or(0));
        };
        add(&mut self.messages, closing.messages);
        add(&mut self.received, closing.received);
        add(&mut self.sent, closing.sent);
        self.without_messages += u64::from(closing.messages.is_none());
        self.without_bytes += u64::from(closing.received.is_none());
    }

    /// `None` if there is none, or a close line does not have its number.
    pub(super) fn messages(&self) -> Option<u64> {
        (self.connections > 0 && self.without_messages == 0).then_some(self.messages)
    }

    pub(super) fn received(&self) -> Option<u64> {
        (self.connections > 0 && self.without_bytes == 0).then_some(self.received)
    }

    pub(super) fn sent(&self) -> Option<u64> {
        (self.connections > 0 && self.without_bytes == 0).then_some(self.sent)
    }
}
