//! A log that never blocks the threads that log, and loses no line without counting it.
//!
//! Lines go into a channel, and one thread writes them. While it cannot, because nobody reads
//! the pipe or the disk is full, it keeps what it has and tries again, and the channel fills
//! up. Lines beyond 40 MB are dropped and counted, and the log says how many.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crossbeam_channel::{
    Receiver, RecvError, RecvTimeoutError, Sender, bounded, select, unbounded,
};
use log::{Level, Log, Metadata, Record};

use crate::net::sys;
use crate::program::log_batch::{Batch, Line};
use crate::program::stream::{self, Stream};
use crate::program::thread;

/// How many bytes of lines may wait: the open and the close lines of 100,000 connections that
/// close at once, which take less than 400 bytes for each, as [`Line::size`] counts them.
const BYTES: usize = 100_000 * 400;
/// How many lines are written at once.
const LINES: usize = 512;
/// How long the writer waits before it tries again to write, and how long a request may wait.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the writer may take beyond the time to end: a call to a disk cannot be cut short, and
/// on a busy machine the thread waits for a CPU.
const GRACE: Duration = Duration::from_secs(2);
/// If more bytes than this have waited, their memory is returned to the kernel.
const BURST: usize = 1 << 20;

/// Controls the log of this process.
#[derive(Debug, Clone)]
pub struct Logger {
    requests: Sender<Request>,
    counts: Arc<Counts>,
}

/// What the threads that log share with the writer. Atomics, because all of them count here,
/// and because a channel that is full could not carry the count of what it did not take.
#[derive(Debug, Default)]
struct Counts {
    /// The bytes of the lines in the channel.
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

/// All that the writer can be told besides lines.
#[derive(Debug)]
enum Request {
    Reopen,
    /// Write the lines so far until this time, answer and end.
    End(Instant, Sender<()>),
}

impl Logger {
    /// Starts the log: the macros of the `log` crate append to this file, or write to standard
    /// error. `RUST_LOG` selects what is logged; the default is `info` and above.
    ///
    /// # Errors
    /// The file cannot be opened, or the thread cannot be started.
    pub fn start(path: Option<&Path>) -> io::Result<Logger> {
        let (lines, queue) = unbounded();
        // A request that finds no room follows others that do the same.
        let (requests, inbox) = bounded(16);
        let counts = Arc::<Counts>::default();
        let writer = Writer::open(path, queue, inbox, Arc::clone(&counts))?;
        thread::start("log".to_owned(), 1, move || writer.run())?;
        // An empty variable is one that is not set.
        let selected = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
        let selected = selected.as_deref().unwrap_or("info");
        let filter = env_logger::Builder::new().parse_filters(selected).build();
        log::set_max_level(filter.filter());
        let log = ChannelLog { filter, lines, counts: Arc::clone(&counts) };
        log::set_boxed_logger(Box::new(log)).map_err(io::Error::other)?;
        Ok(Logger { requests, counts })
    }

    /// Reopens the file, after it was renamed. A log that is a descriptor of this process,
    /// such as `/dev/stdout`, stays as it is.
    pub fn reopen(&self) {
        let _ = self.requests.try_send(Request::Reopen);
    }

    /// Ends the log when all lines so far are written, or when the timeout passes. Lines that
    /// are not written by then are dropped, and standard error is told how many.
    pub fn end(&self, timeout: Duration) {
        let (done, is_done) = bounded(1);
        let request = Request::End(Instant::now() + timeout, done);
        let is_sent = self.requests.send_timeout(request, timeout).is_ok();
        if !is_sent || is_done.recv_timeout(timeout + GRACE).is_err() {
            tell("error: the log does not end: the system does not finish writing it");
        }
    }

    /// Returns how many lines were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Relaxed)
    }
}

/// What the macros of the `log` crate call.
struct ChannelLog {
    filter: env_logger::Logger,
    lines: Sender<Line>,
    counts: Arc<Counts>,
}

impl Log for ChannelLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.filter.matches(record) {
            return;
        }
        let line = Line::new(record.level(), record.args().to_string());
        let (size, Counts { waiting, dropped }) = (line.size(), &*self.counts);
        let is_full = waiting.fetch_add(size, Relaxed) + size > BYTES;
        if is_full || self.lines.send(line).is_err() {
            waiting.fetch_sub(size, Relaxed);
            dropped.fetch_add(1, Relaxed);
        }
    }

    fn flush(&self) {}
}

/// Writes the lines, on a thread that may block.
struct Writer {
    lines: Receiver<Line>,
    requests: Receiver<Request>,
    path: Option<PathBuf>,
    output: Stream,
    batch: Batch,
    counts: Arc<Counts>,
    dropped_reported: u64,
    /// The most bytes that waited since memory was last returned.
    most_waiting: usize,
}

impl Writer {
    fn open(
        path: Option<&Path>,
        lines: Receiver<Line>,
        requests: Receiver<Request>,
        counts: Arc<Counts>,
    ) -> io::Result<Writer> {
        let output = path.map_or_else(Stream::stderr, Stream::append)?;
        let mut batch = Batch::default();
        if path.is_some_and(|path| !stream::is_descriptor(path) && output.is_cut(path)) {
            batch.break_line();
        }
        let path = path.map(Path::to_owned);
        let (dropped_reported, most_waiting) = (0, 0);
        Ok(Writer { lines, requests, path, output, batch, counts, dropped_reported, most_waiting })
    }

    fn run(mut self) {
        while let Ok(request) = self.step() {
            match request {
                None => {}
                Some(Request::Reopen) => self.reopen(),
                Some(Request::End(until, done)) => {
                    self.end(until);
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    /// Takes lines, or goes on to write those that it took. Returns the request that arrived
    /// meanwhile, if any. It is an error that nobody is left to send one.
    fn step(&mut self) -> Result<Option<Request>, RecvError> {
        if self.batch.is_written() {
            self.return_memory();
            return select! {
                recv(self.lines) -> line => line.map(|line| { self.take(line); None }),
                recv(self.requests) -> request => request.map(Some),
            };
        }
        let pause = if self.write(PAUSE).is_ok() { Duration::ZERO } else { PAUSE };
        match self.requests.recv_timeout(pause) {
            Ok(request) => Ok(Some(request)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(RecvError),
        }
    }

    /// Takes this line and others that wait, and the count of those that were dropped.
    fn take(&mut self, first: Line) {
        let waiting = &self.counts.waiting;
        self.most_waiting = self.most_waiting.max(waiting.load(Relaxed));
        for line in std::iter::once(first).chain(self.lines.try_iter().take(LINES)) {
            waiting.fetch_sub(line.size(), Relaxed);
            self.batch.push(&line);
        }
        let dropped = self.counts.dropped.load(Relaxed);
        if dropped != self.dropped_reported {
            let text = format!("{} log lines were dropped", dropped - self.dropped_reported);
            self.batch.push_uncounted(&Line::new(Level::Warn, text));
            self.dropped_reported = dropped;
        }
    }

    /// Writes what there is room for within this time.
    fn write(&mut self, time: Duration) -> io::Result<()> {
        match self.output.write_within(self.batch.rest(), Some(time)) {
            Ok(count) => self.batch.advance(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn reopen(&mut self) {
        let Some(path) = self.path.as_deref().filter(|path| !stream::is_descriptor(path)) else {
            return;
        };
        match Stream::append(path) {
            Ok(output) => {
                if !output.is_same(&self.output) {
                    self.batch.rewind();
                }
                self.output = output;
            }
            Err(error) => log::error!("cannot reopen the log, the old one is kept: {error}"),
        }
    }

    /// Writes the lines so far until this time, and drops the others.
    fn end(&mut self, until: Instant) {
        let mut failure = None;
        while self.has_lines() {
            let time = until.saturating_duration_since(Instant::now()).min(PAUSE);
            if time.is_zero() {
                return self.give_up(failure);
            }
            failure = self.write(time).err();
            if failure.is_some() {
                std::thread::sleep(time);
            }
        }
    }

    fn has_lines(&mut self) -> bool {
        if self.batch.is_written()
            && let Ok(line) = self.lines.try_recv()
        {
            self.take(line);
        }
        !self.batch.is_written()
    }

    /// Drops the lines that are left and tells standard error, unless that is the log.
    fn give_up(&mut self, failure: Option<io::Error>) {
        let lost = self.batch.lines_left() + self.lines.len();
        self.counts.dropped.fetch_add(lost as u64, Relaxed);
        if !Stream::stderr().is_ok_and(|stderr| stderr.is_same(&self.output)) {
            let reason = failure.map_or("nobody reads them".to_owned(), |error| error.to_string());
            tell(&format!("error: {lost} log lines were not written: {reason}"));
        }
    }

    /// Returns the memory of a burst of lines to the kernel once it is over.
    fn return_memory(&mut self) {
        if self.most_waiting > BURST && self.lines.is_empty() {
            self.most_waiting = 0;
            sys::give_back_free_pages();
        }
    }
}

/// Writes a line to standard error if there is room, and never waits.
fn tell(line: &str) {
    let line = format!("{line}\n");
    let _ = Stream::stderr()
        .and_then(|mut stderr| stderr.write_within(line.as_bytes(), Some(Duration::ZERO)));
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A log without its writer.
    fn log_alone() -> (ChannelLog, Receiver<Line>) {
        let filter = env_logger::Builder::new().filter_level(log::LevelFilter::Info).build();
        let (lines, queue) = unbounded();
        (ChannelLog { filter, lines, counts: Arc::default() }, queue)
    }

    fn write(log: &ChannelLog, text: &str) {
        log.log(&Record::builder().level(Level::Info).args(format_args!("{text}")).build());
    }

    #[test]
    fn the_lines_of_a_hundred_thousand_connections_wait_and_lose_none() {
        let (log, queue) = log_alone();
        let ip = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        for fd in 0..100_000 {
            write(
                &log,
                &format!("new connection fd={fd},ip={ip},port=65535, thread id is 4194304."),
            );
            let figures = "open=86400.000s messages=100000 in=2400000B out=2400000B";
            write(
                &log,
                &format!(
                    "connection close fd={fd},ip={ip},port=65535 is 4194304. {figures} reason=eof"
                ),
            );
        }
        assert_eq!((queue.len(), log.counts.dropped.load(Relaxed)), (200_000, 0));
    }

    #[test]
    fn what_is_not_written_is_counted_when_the_bound_is_reached() {
        let (log, queue) = log_alone();
        let path = std::env::temp_dir().join(format!("logger-{}", std::process::id()));
        let (_requests, inbox) = bounded(1);
        let mut writer = Writer::open(Some(&path), queue, inbox, Arc::clone(&log.counts)).unwrap();
        let (text, logged) = ("x".repeat(10_000), 5_000);
        (0..logged).for_each(|_| write(&log, &text));
        let dropped = log.counts.dropped.load(Relaxed);
        assert!(dropped > 0, "there is no bound");
        writer.end(Instant::now() + Duration::from_secs(20));
        // What was written makes room.
        write(&log, &text);
        writer.end(Instant::now() + Duration::from_secs(20));
        let written = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let lines = written.lines().filter(|line| line.ends_with(&text)).count() as u64;
        assert_eq!((lines, log.counts.dropped.load(Relaxed)), (logged + 1 - dropped, dropped));
        assert!(written.contains(&format!(" WARN {dropped} log lines were dropped\n")));
        assert_eq!(log.counts.waiting.load(Relaxed), 0);
    }
}
