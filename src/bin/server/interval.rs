//! The line of figures that `--stats-interval` logs.

use std::io;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use reactor_server::Handle;
use reactor_server::program::logger::Logger;
use reactor_server::program::thread;

/// Logs a line per interval, until it is ended.
#[derive(Debug)]
pub(crate) struct IntervalLog {
    /// Nothing is sent: the thread ends when it is dropped.
    end: Sender<()>,
    thread: JoinHandle<()>,
}

impl IntervalLog {
    /// Starts the thread that logs.
    pub(crate) fn start(
        interval: Duration,
        server: Handle,
        logger: Logger,
    ) -> io::Result<IntervalLog> {
        let (end, ended) = bounded(0);
        let run = move || log_every(interval, &server, &logger, &ended);
        let thread = thread::start("stats".to_owned(), 1, run)?;
        Ok(IntervalLog { end, thread })
    }

    /// No line follows.
    pub(crate) fn end(self) {
        drop(self.end);
        // It does not panic.
        let _ = self.thread.join();
    }
}

/// Logs a line per interval until the other end of the channel is gone.
fn log_every(interval: Duration, server: &Handle, logger: &Logger, ended: &Receiver<()>) {
    let mut next = Instant::now();
    let mut before = Sample::take(server, logger);
    loop {
        // After a suspend no lines are made up for.
        while next <= Instant::now() {
            next += interval;
        }
        if ended.recv_deadline(next) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        let now = Sample::take(server, logger);
        log::info!("{}", now.line_since(&before));
        before = now;
    }
}

/// The counters of one moment.
#[derive(Debug)]
struct Sample {
    at: Instant,
    accepted: u64,
    received: u64,
    sent: u64,
    waited: u64,
    /// Log lines that were not written.
    dropped: u64,
    loops: Vec<Loop>,
}

/// The counters of one I/O thread.
#[derive(Debug)]
struct Loop {
    connections: u64,
    messages: u64,
}

impl Sample {
    fn take(server: &Handle, logger: &Logger) -> Sample {
        let stats = server.stats();
        let loops = stats.reactors.iter().enumerate().map(|(number, reactor)| Loop {
            connections: stats.open(number),
            messages: reactor.messages.get(),
        });
        Sample {
            at: Instant::now(),
            accepted: stats.acceptor.accepted.get(),
            received: stats.sum(|reactor| &reactor.received),
            sent: stats.sum(|reactor| &reactor.sent),
            waited: stats.acceptor.waited.get(),
            dropped: logger.dropped(),
            loops: loops.collect(),
        }
    }

    /// The figures since an earlier moment, in one line.
    fn line_since(&self, before: &Sample) -> String {
        let seconds = (self.at - before.at).as_secs_f64();
        let rate = |now: u64, then: u64| ((now - then) as f64 / seconds).round() as u64;
        let connections = self.loops.iter().map(|it| it.connections);
        let pairs = self.loops.iter().zip(&before.loops);
        let messages = pairs.map(|(now, then)| now.messages - then.messages);
        let per_loop = messages.clone().map(|count| rate(count, 0));
        format!(
            "stats connections={} accepts={}/s messages={}/s in={}B/s out={}B/s \
             loop-connections={} loop-messages={}/s waited={} dropped={}",
            connections.clone().sum::<u64>(),
            rate(self.accepted, before.accepted),
            rate(messages.sum(), 0),
            rate(self.received, before.received),
            rate(self.sent, before.sent),
            range(connections),
            range(per_loop),
            self.waited - before.waited,
            self.dropped - before.dropped,
        )
    }
}

/// The least and the most.
fn range(values: impl Iterator<Item = u64> + Clone) -> String {
    let least = values.clone().min().unwrap_or(0);
    format!("{least}..{}", values.max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_rates_and_the_least_and_the_most_of_the_loops() {
        let sample = |at, count: u64, loops: [(u64, u64); 2]| Sample {
            at,
            accepted: count,
            received: 10 * count,
            sent: 20 * count,
            waited: count,
            dropped: 0,
            loops: loops.map(|(connections, messages)| Loop { connections, messages }).into(),
        };
        let start = Instant::now();
        let before = sample(start, 100, [(1, 10), (2, 20)]);
        let now = sample(start + Duration::from_secs(2), 104, [(3, 20), (5, 220)]);
        assert_eq!(
            now.line_since(&before),
            "stats connections=8 accepts=2/s messages=105/s in=20B/s out=40B/s \
             loop-connections=3..5 loop-messages=5..100/s waited=4 dropped=0"
        );
    }
}
