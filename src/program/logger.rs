//! A log that never blocks the threads that log.
//!
//! Lines go into a bounded channel, and one thread writes them. While it cannot, because
//! nobody reads the pipe or the disk is full, the channel fills up. Lines that do not fit are
//! dropped and counted, and the log says how many as soon as it can.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Local};
use crossbeam_channel::{Receiver, Sender, bounded, select};
use log::{Level, Log, Metadata, Record};

/// How many lines may wait to be written: a burst of ten thousand connections loses none
/// while the writer gets a fair share of a CPU.
const LINES: usize = 2048;
/// How many lines are written at once.
const BATCH: usize = 512;

/// Controls the log of this process.
#[derive(Debug, Clone)]
pub struct Logger {
    requests: Sender<Request>,
    dropped: Arc<AtomicU64>,
}

/// All that the writer can be told besides lines.
#[derive(Debug)]
enum Request {
    Reopen,
    /// Write the lines so far and answer.
    Flush(Sender<()>),
}

impl Logger {
    /// Starts the log: the macros of the `log` crate append to this file, or write to standard
    /// error. `RUST_LOG` selects what is logged; the default is `info` and above.
    ///
    /// # Errors
    /// The file cannot be opened, or the thread cannot be started.
    pub fn start(path: Option<&Path>) -> io::Result<Logger> {
        let (lines, queue) = bounded(LINES);
        // A request that finds no room follows others that do the same.
        let (requests, inbox) = bounded(16);
        let dropped = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            path: path.map(Path::to_owned),
            output: open(path)?,
            batch: Vec::new(),
            dropped: Arc::clone(&dropped),
            dropped_reported: 0,
        };
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(&queue, &inbox))?;
        // An empty variable is one that is not set.
        let selected = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
        let selected = selected.as_deref().unwrap_or("info");
        let filter = env_logger::Builder::new().parse_filters(selected).build();
        log::set_max_level(filter.filter());
        log::set_boxed_logger(Box::new(ChannelLog {
            filter,
            lines,
            dropped: Arc::clone(&dropped),
        }))
        .map_err(io::Error::other)?;
        Ok(Logger { requests, dropped })
    }

    /// Reopens the file, after it was renamed.
    pub fn reopen(&self) {
        let _ = self.requests.try_send(Request::Reopen);
    }

    /// Waits until all lines so far are written, or until the timeout passes.
    pub fn flush(&self, timeout: Duration) {
        let (done, is_done) = bounded(1);
        if self.requests.try_send(Request::Flush(done)).is_ok() {
            let _ = is_done.recv_timeout(timeout);
        }
    }

    /// Returns how many lines were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

/// What the macros of the `log` crate call.
struct ChannelLog {
    filter: env_logger::Logger,
    lines: Sender<Line>,
    /// An atomic, because all threads count here, and a full channel could not carry it.
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Line {
    at: SystemTime,
    level: Level,
    text: String,
}

impl Log for ChannelLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.filter.matches(record) {
            return;
        }
        let (at, level, text) = (SystemTime::now(), record.level(), record.args().to_string());
        if self.lines.try_send(Line { at, level, text }).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    fn flush(&self) {}
}

/// Writes the lines, on a thread that may block.
struct Writer {
    path: Option<PathBuf>,
    output: Box<dyn Write + Send>,
    batch: Vec<u8>,
    dropped: Arc<AtomicU64>,
    dropped_reported: u64,
}

impl Writer {
    fn run(mut self, lines: &Receiver<Line>, requests: &Receiver<Request>) {
        loop {
            select! {
                recv(lines) -> line => match line {
                    Ok(line) => self.write(std::iter::once(line).chain(lines.try_iter().take(BATCH))),
                    Err(_) => return,
                },
                recv(requests) -> request => match request {
                    Ok(Request::Reopen) => self.reopen(),
                    Ok(Request::Flush(done)) => {
                        self.write(lines.try_iter());
                        let _ = done.send(());
                    }
                    Err(_) => return,
                },
            }
        }
    }

    /// Writes the lines with one system call.
    fn write(&mut self, lines: impl Iterator<Item = Line>) {
        let mut count = 0;
        for line in lines {
            self.format(&line);
            count += 1;
        }
        let dropped = self.dropped.load(Relaxed);
        if dropped != self.dropped_reported {
            let text = format!("{} log lines were dropped", dropped - self.dropped_reported);
            self.format(&Line { at: SystemTime::now(), level: Level::Warn, text });
        }
        match self.output.write_all(&self.batch) {
            Ok(()) => self.dropped_reported = dropped,
            Err(_) => drop(self.dropped.fetch_add(count, Relaxed)),
        }
        self.batch.clear();
    }

    /// Formats a line. Only lines other than `info` carry their level.
    fn format(&mut self, line: &Line) {
        let at = DateTime::<Local>::from(line.at).format("%Y-%m-%d %H:%M:%S%.3f");
        let level = match line.level {
            Level::Info => String::new(),
            level => format!("{level} "),
        };
        // Writing to memory cannot fail.
        let _ = writeln!(self.batch, "{at} {level}{}", line.text);
    }

    fn reopen(&mut self) {
        match open(self.path.as_deref()) {
            Ok(output) => self.output = output,
            Err(error) => log::error!("cannot reopen the log, the old one is kept: {error}"),
        }
    }
}

fn open(path: Option<&Path>) -> io::Result<Box<dyn Write + Send>> {
    match path {
        None => Ok(Box::new(io::stderr())),
        Some(path) => append_to(path).map(|file| Box::new(file) as Box<dyn Write + Send>),
    }
}

/// Opens without blocking: a named pipe that nobody reads is an error.
fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).custom_flags(libc::O_NONBLOCK).open(path)
}
