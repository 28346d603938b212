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
    Receiver, RecvError, RecvTimeoutError, Sender, after, bounded, never, select, unbounded,
};
use log::{Log, Metadata, Record};

use crate::net::sys;
use crate::program::log_batch::{Batch, Line, Style};
use crate::program::log_filter;
use crate::program::stream::{Stream, is_descriptor, print_error_within};
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
const BURST: usize = 64 * 1024;
/// How long no line arrives before that: threads that allocate meanwhile have to wait for it.
const QUIET: Duration = Duration::from_millis(200);

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
    /// Reopen the file, and answer.
    Reopen(Sender<()>),
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
        let filter = log_filter::from_environment();
        log::set_max_level(filter.filter());
        let log = ChannelLog { filter, lines, counts: Arc::clone(&counts) };
        log::set_boxed_logger(Box::new(log)).map_err(io::Error::other)?;
        Ok(Logger { requests, counts })
    }

    /// Reopens the file, after it was renamed, and waits until that is done, though no longer than
    /// the timeout. A log that is a descriptor of this process, such as `/dev/stdout`, stays as it
    /// is.
    pub fn reopen(&self, timeout: Duration) {
        let (done, is_done) = bounded(1);
        if self.requests.try_send(Request::Reopen(done)).is_ok() {
            let _ = is_done.recv_timeout(timeout);
        }
    }

    /// Ends the log when all lines so far are written, or when the timeout passes. Lines that
    /// are not written by then are dropped, and standard error is told how many.
    pub fn end(&self, timeout: Duration) {
        let (done, is_done) = bounded(1);
        let request = Request::End(Instant::now() + timeout, done);
        let is_sent = self.requests.send_timeout(request, timeout).is_ok();
        if !is_sent || is_done.recv_timeout(timeout + GRACE).is_err() {
            let line = "error: the log does not end: the system does not finish writing it";
            print_error_within(line, Duration::ZERO);
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
    /// The last line in the file has no end, and is none of the batch.
    is_cut: bool,
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
        let is_cut = path.is_some_and(|path| !is_descriptor(path) && output.is_cut(path));
        let style = if output.is_journal() { Style::Journal } else { Style::Time };
        let (batch, path) = (Batch::new(style), path.map(Path::to_owned));
        let (dropped_reported, most_waiting) = Default::default();
        Ok(Writer {
            lines,
            requests,
            path,
            output,
            is_cut,
            batch,
            counts,
            dropped_reported,
            most_waiting,
        })
    }

    fn run(mut self) {
        while let Ok(request) = self.step() {
            match request {
                None => {}
                Some(Request::Reopen(done)) => {
                    self.reopen();
                    let _ = done.send(());
                }
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
            let quiet = if self.most_waiting > BURST { after(QUIET) } else { never() };
            return select! {
                recv(self.lines) -> line => line.map(|line| { self.take(line); None }),
                recv(self.requests) -> request => request.map(Some),
                recv(quiet) -> _ => { self.return_memory(); Ok(None) }
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
            self.batch.push_dropped(dropped - self.dropped_reported);
            self.dropped_reported = dropped;
        }
    }

    /// Writes what there is room for within this time.
    fn write(&mut self, time: Duration) -> io::Result<()> {
        let bytes = if self.is_cut { b"\n" } else { self.batch.rest() };
        match self.output.write_within(bytes, Some(time)) {
            Ok(count) if self.is_cut => self.is_cut = count == 0,
            Ok(count) => self.batch.advance(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn reopen(&mut self) {
        // It may have been a link to a descriptor, and be a file now.
        let Some(path) = self.path.as_deref().filter(|path| !is_descriptor(path)) else { return };
        match Stream::append(path) {
            Ok(output) => {
                if !output.is_same(&self.output) {
                    self.is_cut = output.is_cut(path);
                    self.batch.rewind();
                }
                self.output = output;
            }
            Err(error) => log::error!("cannot reopen the log, the old one is kept: {error}"),
        }
    }

    /// Writes the lines so far until this time, and drops the others. It tries once even if this
    /// thread is late.
    fn end(&mut self, until: Instant) {
        while self.has_lines() {
            let time = until.saturating_duration_since(Instant::now()).min(PAUSE);
            let failure = self.write(time).err();
            if time.is_zero() && self.has_lines() {
                return self.give_up(failure);
            }
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

    /// Drops the lines that are left, and tells standard error, unless that is the log.
    fn give_up(&mut self, failure: Option<io::Error>) {
        let lost = self.unaccounted();
        if !Stream::stderr().is_ok_and(|stderr| stderr.is_same(&self.output)) {
            let reason = failure.map_or("nobody reads them".to_owned(), |error| error.to_string());
            let line = format!("error: {lost} log lines were not written: {reason}");
            print_error_within(&line, Duration::ZERO);
        }
    }

    /// Returns how many lines are neither in the log nor reported there as dropped.
    fn unaccounted(&self) -> u64 {
        let unreported = self.counts.dropped.load(Relaxed) - self.dropped_reported;
        self.batch.unaccounted() + self.lines.len() as u64 + unreported
    }

    /// Returns the memory of a burst of lines to the kernel.
    fn return_memory(&mut self) {
        self.most_waiting = 0;
        sys::give_back_free_pages();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use log::{Level, LevelFilter};

    use super::*;

    /// A log without its writer.
    fn log_alone() -> (ChannelLog, Receiver<Line>) {
        let filter = env_logger::Builder::new().filter_level(LevelFilter::Info).build();
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

    /// A log with a writer to this file that runs when it is told to.
    fn log_to(path: &Path) -> (ChannelLog, Writer) {
        let (log, queue) = log_alone();
        let counts = Arc::clone(&log.counts);
        (log, Writer::open(Some(path), queue, bounded(0).1, counts).unwrap())
    }

    fn new_path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("logger-{}-{name}", std::process::id()))
    }

    #[test]
    fn lines_that_were_dropped_and_lines_that_wait_are_all_counted_at_the_end() {
        let (log, mut writer) = log_to(Path::new("/dev/full"));
        let (text, logged) = ("x".repeat(10_000), 5_000);
        (0..logged).for_each(|_| write(&log, &text));
        assert!(log.counts.dropped.load(Relaxed) > 0, "there is no bound");
        writer.end(Instant::now() + Duration::from_millis(10));
        assert_eq!(writer.unaccounted(), logged);
    }

    #[test]
    fn a_line_that_is_cut_in_another_file_is_ended_when_the_log_is_reopened() {
        let path = new_path("cut");
        let (log, mut writer) = log_to(&path);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "half a line").unwrap();
        writer.reopen();
        write(&log, "whole");
        writer.end(Instant::now() + Duration::from_secs(20));
        let written = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let lines: Vec<_> = written.lines().collect();
        assert!(lines[0] == "half a line" && lines[1].ends_with(" whole"), "{written}");
    }

    #[test]
    fn what_is_not_written_is_counted_when_the_bound_is_reached() {
        let path = new_path("bound");
        let (log, mut writer) = log_to(&path);
        let (text, logged) = ("x".repeat(10_000), 5_000);
        (0..logged).for_each(|_| write(&log, &text));
        let dropped = log.counts.dropped.load(Relaxed);
        assert!(dropped > 0, "there is no bound");
        writer.end(Instant::now() + Duration::from_secs(20));
        // What was written makes room, also for a writer that is late.
        write(&log, &text);
        writer.end(Instant::now());
        let written = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let lines = written.lines().filter(|line| line.ends_with(&text)).count() as u64;
        assert_eq!((lines, log.counts.dropped.load(Relaxed)), (logged + 1 - dropped, dropped));
        assert!(written.contains(&format!(" WARN {dropped} log lines were dropped\n")));
        assert_eq!(log.counts.waiting.load(Relaxed), 0);
    }
}
