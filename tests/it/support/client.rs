//! The program `client`, as a process that must end.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2Serializer};
use procfs::process;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{PATIENCE, eventually, temporary};

pub(crate) const CLIENT: &str = env!("CARGO_BIN_EXE_client");

/// The command that loads a server.
pub(crate) fn client(target: SocketAddr, flags: &[&str]) -> Command {
    let mut command = Command::new(CLIENT);
    command.args([target.ip().to_string(), target.port().to_string()]).args(flags);
    command
}

/// As [`client`], with a limit of 100 descriptors.
pub(crate) fn limited_client(target: SocketAddr, flags: &[&str]) -> Command {
    let mut command = Command::new("prlimit");
    command.args(["--nofile=100:100", CLIENT]);
    command.args([target.ip().to_string(), target.port().to_string()]).args(flags);
    command
}

/// How a run with `--json` ended.
#[derive(Debug)]
pub(crate) struct JsonReport {
    pub(crate) code: i32,
    pub(crate) json: Value,
    pub(crate) stderr: String,
}

pub(crate) fn run(target: SocketAddr, flags: &[&str]) -> Output {
    ClientProcess::start(client(target, flags)).output()
}

/// Runs it with `--json`.
pub(crate) fn run_json(target: SocketAddr, flags: &[&str]) -> JsonReport {
    ClientProcess::start(client(target, &[flags, &["--json"]].concat())).report()
}

/// Runs `client report`.
pub(crate) fn report(files: &[impl AsRef<OsStr>], flags: &[&str]) -> Output {
    let mut command = Command::new(CLIENT);
    command.arg("report").args(files).args(flags);
    ClientProcess::start(command).output()
}

/// The command `client compare`.
pub(crate) fn compare(words: &[impl AsRef<OsStr>], flags: &[&str]) -> Command {
    let mut command = Command::new(CLIENT);
    command.arg("compare").args(words).args(flags);
    command
}

/// Writes results to a file, and returns its path.
pub(crate) fn written(name: &str, results: &Value) -> String {
    let file = temporary(name).display().to_string();
    fs::write(&file, results.to_string()).expect("a file");
    file
}

/// A histogram as results have it.
pub(crate) fn encoded(histogram: &Histogram<u64>) -> Value {
    let mut bytes = Vec::new();
    V2Serializer::new().serialize(histogram, &mut bytes).expect("it can be written");
    STANDARD.encode(bytes).into()
}

/// What a process has written to standard error.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The environment variables that the help of a command names.
pub(crate) fn variables_of(program: &str, words: &[&str]) -> Vec<String> {
    let help = Command::new(program).args(words).arg("--help").output().expect("it runs").stdout;
    let help = String::from_utf8(help).expect("a text");
    let names = help.split("[env: ").skip(1).filter_map(|rest| rest.split(']').next());
    names.map(str::to_owned).collect()
}

impl JsonReport {
    /// Fails the test if a signal ended the process or its output is no JSON.
    pub(crate) fn of(output: &Output) -> JsonReport {
        let stderr = stderr(output);
        let code = output.status.code().unwrap_or_else(|| panic!("{}: {stderr}", output.status));
        let json = serde_json::from_slice(&output.stdout);
        let json = json.unwrap_or_else(|error| panic!("{error}: {stderr}"));
        JsonReport { code, json, stderr }
    }

    pub(crate) fn number(&self, key: &str) -> u64 {
        self.json[key].as_u64().unwrap_or_else(|| panic!("no {key} in {}", self.json))
    }

    /// A latency, in milliseconds.
    pub(crate) fn millis(&self, kind: &str, key: &str) -> f64 {
        let value = &self.json[kind][key];
        value.as_f64().unwrap_or_else(|| panic!("no {kind}.{key} in {}", self.json)) / 1000.0
    }

    pub(crate) fn complaints(&self) -> Vec<(String, u64)> {
        let complaints = self.json["complaints"].as_object().expect("an object");
        complaints.iter().map(|(text, times)| (text.clone(), times.as_u64().expect("it"))).collect()
    }

    /// Asserts that it ended with 1 and reports exactly these complaints: in its JSON,
    /// and each with its count on a line of standard error.
    pub(crate) fn assert_complaints(&self, expected: &[(&str, u64)]) {
        let complaints = self.complaints();
        let these: Vec<_> = complaints.iter().map(|(text, times)| (&text[..], *times)).collect();
        assert_eq!((self.code, &these[..]), (1, expected), "{}", self.stderr);
        for (text, times) in expected {
            let line = format!("{times} x {text}");
            assert!(self.stderr.lines().any(|it| it == line), "{line} in {}", self.stderr);
        }
    }
}

/// A running client, killed if its test fails.
#[derive(Debug)]
pub(crate) struct ClientProcess {
    child: Child,
    stdout: Capture,
    stderr: Capture,
}

impl ClientProcess {
    pub(crate) fn start(mut command: Command) -> ClientProcess {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("a process");
        let stdout = Capture::new(child.stdout.take().expect("a pipe"));
        let stderr = Capture::new(child.stderr.take().expect("a pipe"));
        ClientProcess { child, stdout, stderr }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is signalled");
    }

    /// Waits for a text on standard error.
    pub(crate) fn wait_for_stderr(&self, text: &str) {
        eventually(text, || self.stderr.so_far().contains(text));
    }

    /// Its state in `/proc`.
    pub(crate) fn status(&self) -> process::Status {
        let process = process::Process::new(self.child.id() as i32).expect("it runs");
        process.status().expect("its state")
    }

    /// Waits until it blocks signals: from then on the kernel keeps them until it reads them.
    pub(crate) fn wait_until_signals_are_blocked(&self) {
        eventually("it blocks signals", || self.status().sigblk != 0);
    }

    /// Waits for its end.
    pub(crate) fn output(mut self) -> Output {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                break status;
            }
            assert!(Instant::now() < until, "it hangs: {}", self.stderr.so_far());
            thread::sleep(Duration::from_millis(1));
        };
        Output { status, stdout: self.stdout.all(), stderr: self.stderr.all() }
    }

    pub(crate) fn report(self) -> JsonReport {
        JsonReport::of(&self.output())
    }
}

impl Drop for ClientProcess {
    fn drop(&mut self) {
        // After `output` there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a pipe in a thread, so that its writer never blocks.
#[derive(Debug)]
struct Capture {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    fn new(mut pipe: impl Read + Send + 'static) -> Capture {
        let bytes: Arc<Mutex<Vec<u8>>> = Arc::default();
        let captured = Arc::clone(&bytes);
        let thread = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                captured.lock().expect("no panic").extend_from_slice(&buffer[..count]);
            }
        });
        Capture { bytes, thread: Some(thread) }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().expect("no panic")).into_owned()
    }

    fn all(&mut self) -> Vec<u8> {
        self.thread.take().expect("this is the first call").join().expect("no panic");
        std::mem::take(&mut self.bytes.lock().expect("no panic"))
    }
}
