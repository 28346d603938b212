//! Faults of the log: it is not read or too slowly, there is no room, its reader is gone.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, PipeReader, Read};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::io::ioctl_fionbio;
use rustix::process::{Resource, Rlimit, Signal, prlimit};

use crate::clients::blocking;
use crate::harness::bench::Bench;
use crate::harness::row::Row;
use crate::harness::server::{PATIENCE, Server, eventually};
use crate::small_pipe::small_pipe;

pub(crate) const ROWS: &[Row] = &[
    Row { id: "F31", fault: "its output is a pipe that nobody reads", long: false, run: unread },
    Row { id: "F32", fault: "its disk is full, its log's reader gone", long: false, run: lost },
    Row { id: "F45", fault: "its output is at the file size limit", long: false, run: limited },
    Row { id: "F46", fault: "its log is taken in pieces", long: false, run: in_pieces },
];

/// How soon it ends: ours waits a second for its log's reader.
const SOON: Duration = Duration::from_secs(5);
const AT_ALL: Duration = Duration::from_secs(30);

fn unread(bench: &Bench) -> Result<String> {
    let count = bench.measure(2000, 20_000);
    let (reader, output) = unread_output()?;
    let server = bench.server().output(output.0, output.1).start()?;
    serve(&server, count)?;
    let took = end(bench, &server)?;
    drop(reader);
    let figure = format!("{count} connections served, ended after {:.2} s", took.as_secs_f64());
    if !bench.is_ours() {
        return Ok(figure);
    }
    // In the full run more lines than may wait.
    let more = bench.measure(count, 150_000);
    let dropped = read_at_last(bench, more)?;
    ensure!(bench.all == (dropped > 0), "{dropped} lines were dropped");
    Ok(format!(
        "{figure}; read at last after {more}, {dropped} lines were dropped, which is all that is \
         missing"
    ))
}

/// As before, but the pipe is read when all is over. Returns how many lines were dropped.
fn read_at_last(bench: &Bench, count: usize) -> Result<usize> {
    let (reader, output) = unread_output()?;
    let server = bench.server().output(output.0, output.1).start()?;
    serve(&server, count)?;
    let lines = lines_of(reader, usize::MAX);
    let mut log = Vec::new();
    // What waits is written before there is more to log.
    while let Ok(line) = lines.recv_timeout(Duration::from_millis(100)) {
        log.push(line);
    }
    end(bench, &server)?;
    log.extend(lines.iter());
    all_accounted_for(&log, count)
}

fn lost(bench: &Bench) -> Result<String> {
    let count = bench.measure(500, 10_000);
    let full = || File::options().write(true).open("/dev/full");
    survive(bench, count, (full()?.into(), full()?.into())).context("/dev/full")?;
    let (reader, output) = unread_output()?;
    drop(reader);
    survive(bench, count, output).context("no reader")?;
    let figure = format!("{count} connections served in each case, then ended in order");
    if !bench.is_ours() {
        return Ok(figure);
    }
    let dropped = kept_on_a_full_disk(bench, count).context("/dev/full")?;
    let more = kept_without_the_reader(bench, count).context("the reader is gone")?;
    ensure!(dropped + more == 0, "{dropped} and {more} lines were dropped");
    Ok(format!("{figure}; a file that is opened later has every line"))
}

fn survive(bench: &Bench, count: usize, output: (Stdio, Stdio)) -> Result<()> {
    let server = bench.server().output(output.0, output.1).start()?;
    serve(&server, count)?;
    server.must_be_alive()?;
    end(bench, &server).map(drop)
}

fn kept_on_a_full_disk(bench: &Bench, count: usize) -> Result<usize> {
    let path = link_to(bench, "/dev/full")?;
    let server = bench.server().flags(&["--log-file", &path]).start()?;
    serve(&server, count)?;
    let log = log_elsewhere(bench, &server, &path)?;
    all_accounted_for(&log, count)
}

fn kept_without_the_reader(bench: &Bench, count: usize) -> Result<usize> {
    let path = link_to(bench, "/proc/self/fd/1")?;
    let (reader, output) = unread_output()?;
    let server =
        bench.server().flags(&["--log-file", &path]).output(output.0, Stdio::null()).start()?;
    // That it listens, and a connection that was opened and closed to check that.
    let mut log: Vec<String> = lines_of(reader, 3).iter().collect();
    serve(&server, count)?;
    log.extend(log_elsewhere(bench, &server, &path)?);
    all_accounted_for(&log, count)
}

/// How many bytes a file may have.
const LIMIT: u64 = 3000;

fn limited(bench: &Bench) -> Result<String> {
    let count = bench.measure(500, 10_000);
    let path = bench.folder.join("limited");
    let file = || File::options().create(true).append(true).open(&path);
    let limit = format!("--fsize={LIMIT}:");
    let start = || bench.server().wrapped_in(&["prlimit", &limit]);
    let server = start().output(file()?.into(), file()?.into()).start()?;
    serve(&server, count)?;
    server.must_be_alive()?;
    end(bench, &server)?;
    fs::remove_file(&path)?;
    let figure = format!("{count} connections served, then ended in order");
    if !bench.is_ours() {
        return Ok(figure);
    }
    let flags = ["--log-file", path.to_str().context("the folder has an odd name")?];
    let server = start().flags(&flags).start()?;
    serve(&server, count)?;
    eventually("the log is at the limit", || Ok(fs::metadata(&path)?.len() == LIMIT))?;
    let no_limit = Rlimit { current: None, maximum: None };
    prlimit(Some(server.pid()), Resource::Fsize, no_limit)?;
    end(bench, &server)?;
    let log = fs::read_to_string(&path)?;
    fs::remove_file(&path)?;
    none_is_missing(&log, count)?;
    Ok(format!("{figure}; once the limit is lifted, the log gets every line"))
}

fn in_pieces(bench: &Bench) -> Result<String> {
    let count = bench.measure(500, 10_000);
    let log = read_slowly(bench, count, false).context("a pipe")?;
    let other = read_slowly(bench, count, true).context("a non-blocking pipe")?;
    let figure = format!("{count} connections served in each case, then ended in order");
    if !bench.is_ours() {
        return Ok(figure);
    }
    none_is_missing(&log, count).context("a pipe")?;
    none_is_missing(&other, count).context("a non-blocking pipe")?;
    Ok(format!("{figure}; every line of the log is there, and whole"))
}

/// Returns all that a server has written to a pipe of which a few bytes are read at a time, and
/// nothing while it serves. Ours is told to end once all but its last two lines are read, because
/// from then on its log waits only a second for a reader.
fn read_slowly(bench: &Bench, count: usize, is_non_blocking: bool) -> Result<String> {
    let (mut reader, writer) = small_pipe()?;
    ioctl_fionbio(&writer, is_non_blocking)?;
    let server = bench.server().output(Stdio::null(), writer.into()).start()?;
    serve(&server, count)?;
    let (sender, pieces) = channel();
    thread::spawn(move || {
        let mut piece = [0; 99];
        while let Ok(count @ 1..) = reader.read(&mut piece) {
            sender.send(piece[..count].to_vec())?;
        }
        anyhow::Ok(())
    });
    let (mut text, mut missing) = (Vec::new(), lines_of_log(count) - 2);
    while bench.is_ours() && missing > 0 {
        let piece = pieces.recv_timeout(PATIENCE).context("lines of its log are missing")?;
        missing -= piece.iter().filter(|&&byte| byte == b'\n').count();
        text.extend(piece);
    }
    end(bench, &server)?;
    text.extend(pieces.iter().flatten());
    Ok(String::from_utf8(text)?)
}

/// Asserts that the log has all lines, and each of them whole.
fn none_is_missing(log: &str, connections: usize) -> Result<()> {
    let lines: Vec<String> = log.lines().map(str::to_owned).collect();
    let is_whole = |line: &&String| {
        let begins = line.starts_with("20") && line.matches(" fd=").count() <= 1;
        begins && (!line.contains(" close fd=") || line.contains(" reason="))
    };
    let torn = lines.iter().find(|line| !is_whole(line));
    ensure!(torn.is_none() && log.ends_with('\n'), "a line is torn: {torn:?}");
    let dropped = all_accounted_for(&lines, connections)?;
    ensure!(dropped == 0, "{dropped} lines were dropped");
    Ok(())
}

fn link_to(bench: &Bench, target: &str) -> Result<String> {
    let path = bench.folder.join(format!("log{}", target.replace('/', "-")));
    symlink(target, &path)?;
    Ok(path.to_str().context("the folder has an odd name")?.to_owned())
}

/// Gives the server's log a file that it can write to. Returns its lines.
fn log_elsewhere(bench: &Bench, server: &Server, path: &str) -> Result<Vec<String>> {
    fs::remove_file(path)?;
    server.signal(Signal::HUP)?;
    eventually("the log is opened anew", || Ok(Path::new(path).exists()))?;
    end(bench, server)?;
    let log = fs::read_to_string(path)?;
    fs::remove_file(path)?;
    Ok(log.lines().map(str::to_owned).collect())
}

/// Opens connections and has each echo; closes them in the way that leaves no trace.
fn serve(server: &Server, count: usize) -> Result<()> {
    for number in 1..=count {
        let mut stream = server.connect()?;
        blocking::ping(&mut stream).with_context(|| format!("connection {number}"))?;
        blocking::reset(stream)?;
    }
    Ok(())
}

fn end(bench: &Bench, server: &Server) -> Result<Duration> {
    server.signal(Signal::TERM)?;
    let (status, time) = server.end_within(AT_ALL)?;
    if bench.is_ours() {
        ensure!(status.success(), "it ended with {status}");
        ensure!(time < SOON, "it ended only after {time:?}");
    }
    Ok(time)
}

/// How many lines our server logs of so many connections: two of each, with one connection that
/// checked whether it listens, and one line each for listening, draining, and the summary.
fn lines_of_log(connections: usize) -> usize {
    2 * (connections + 1) + 3
}

/// Asserts that the summary counts as dropped what is missing from the log.
fn all_accounted_for(log: &[String], connections: usize) -> Result<usize> {
    let summary = log.iter().find(|line| line.contains(" summary ")).context("no summary")?;
    let dropped = summary.rsplit_once("dropped=").and_then(|(_, count)| count.parse().ok());
    let dropped: usize = dropped.context("the summary has no count of dropped lines")?;
    let there = log.iter().filter(|line| !line.ends_with("log lines were dropped")).count();
    let all = lines_of_log(connections);
    ensure!(there + dropped == all, "{there} lines and {dropped} dropped are not {all}");
    Ok(dropped)
}

/// A small pipe, for standard output and error.
fn unread_output() -> Result<(PipeReader, (Stdio, Stdio))> {
    let (reader, writer) = small_pipe()?;
    Ok((reader, (writer.try_clone()?.into(), writer.into())))
}

/// Reads at most that many lines, then drops the reader.
fn lines_of(reader: PipeReader, most: usize) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        let mut read = BufReader::new(reader).lines().map_while(Result::ok).take(most);
        read.try_for_each(|line| sender.send(line))
    });
    lines
}
